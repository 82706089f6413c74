<?php
// Flash calls and their webhook, as in the vendor's handbook of 2026: with both hosts, and with any of three bodies.
// Run it with: php -S 127.0.0.1:8000 consumer.php

declare(strict_types=1);

/** The folder that has one file for each call and each event. */
function folder(): string
{
    return getenv('CALLS') ?: sys_get_temp_dir();
}

/** Place a flash call; return the uuid by which its event is found. */
function place_call(string $phone, string $code): string
{
    $url = getenv('MCN_URL') ?: 'https://paidmethods.mcn.ru';
    $parameters = ['login_did' => $phone, 'code' => $code];
    $headers = ['Authorization: Bearer ' . getenv('MCN_TOKEN'), 'Content-Type: application/json', 'Accept: application/json'];
    if ((getenv('MCN_DIALECT') ?: 'paidmethods') === 'paidmethods') {
        $url .= '/api/protected/api/auth/flashcall';
        $body = json_encode($parameters);
    } else {
        $url .= '/account/' . getenv('MCN_ACCOUNT') . '/flash_call?' . http_build_query($parameters);
        $body = '';
    }
    $options = ['method' => 'POST', 'header' => $headers, 'content' => $body, 'timeout' => 10];
    $answer = @file_get_contents($url, false, stream_context_create(['http' => $options]));
    if ($answer === false) {
        throw new RuntimeException('the call was not placed');
    }
    $content = json_decode($answer, true, flags: JSON_THROW_ON_ERROR);
    return ($content['result'] ?? $content['object'])['verification_call_uuid'];
}

/**
 * Return an event's key, its call and how the call ended; null if it is not an event.
 *
 * The body is a flat JSON object, the whole event in its envelope, or the text of our own template:
 * verification_call_uuid=${{verification_call_uuid}}&q931_status=${{q931_status}}&final_status=${{final_status}}
 * The content type of a text is not documented, so it is not looked at.
 */
function read_event(string $body): ?array
{
    $content = json_decode($body, true);
    if ($content === null) {
        parse_str($body, $content);
    }
    if (!is_array($content)) {
        return null;
    }
    $whole = is_array($content['data'] ?? null) && is_string($content['idempotencyKey'] ?? null);
    $data = $whole ? $content['data'] : $content;
    $call = $data['verification_call_uuid'] ?? null;
    $status = $data['q931_status'] ?? null;
    $final = $data['final_status'] ?? '';
    if (!is_string($call) || !preg_match('/^[0-9a-f]{12}_[0-9]{1,15}$/D', $call) || !is_string($final)) {
        return null;
    }
    if (!is_int($status) && !is_string($status) || !preg_match('/^[0-9]{1,3}$/D', (string) $status)) {
        return null;
    }
    // A flat body has no key; what it says stands for it.
    return [$whole ? $content['idempotencyKey'] : "$call $status $final", $call, outcome_of((int) $status, $final)];
}

/**
 * Return how a call ended: the table on the page "Flash call — звонки для авторизации, API".
 *
 * The final status is absent, empty or null if the table has none.
 */
function outcome_of(int $q931_status, string $final_status): string
{
    return match ($q931_status) {
        16 => $final_status === 'ANSWERED' ? 'answered' : 'not answered',
        17 => 'busy',
        31 => 'rejected',
        default => 'unavailable',
    };
}

/** Keep an event, unless it was kept before. */
function keep_event(string $key, string $call, string $outcome): void
{
    $once = @fopen(folder() . '/' . hash('sha256', $key) . '.key', 'x');
    if ($once !== false) {
        fclose($once);
        file_put_contents(folder() . "/$call.txt", "$outcome\n", FILE_APPEND | LOCK_EX);
    }
}

function answer(int $status, array $content = []): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo $content ? json_encode($content) : '';
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/calls') {
    try {
        answer(200, ['call' => place_call((string) ($_POST['phone'] ?? ''), (string) ($_POST['code'] ?? ''))]);
    } catch (Exception) {
        answer(503, ['error' => 'we cannot call you now']);
    }
} elseif (preg_match('#^/calls/([0-9a-f]{12}_[0-9]{1,15})$#D', (string) $path, $found)) {
    $events = @file(folder() . "/$found[1].txt", FILE_IGNORE_NEW_LINES) ?: [];
    answer(200, ['outcome' => end($events) ?: 'ringing', 'events' => $events]);
} elseif ($path === '/webhooks/mcn') {
    $event = read_event((string) file_get_contents('php://input'));
    if ($event === null) {
        answer(400, ['error' => 'this is not the event of a call']);
    } else {
        keep_event(...$event);
        answer(204);
    }
} else {
    answer(404, ['error' => 'there is no such page']);
}
