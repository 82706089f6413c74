<?php
// One call by PHP's curl extension: php client.php URL TOKEN PARAMETERS VARIANT. Prints the answer's status and body.

[, $url, $token, $parameters, $variant] = $argv;
$parameters = json_decode($parameters, true, flags: JSON_THROW_ON_ERROR);
$headers = ['Accept: application/json'];
if ($variant !== 'user_hash') {
    $headers[] = "Authorization: Bearer $token";
}

$handle = curl_init();
curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
curl_setopt($handle, CURLOPT_TIMEOUT, 30);
curl_setopt($handle, CURLOPT_POST, true);
switch ($variant) {
    case 'query': // as the article's command: the parameters are in the query, and an empty body is said to be JSON
        $url .= '?' . http_build_query($parameters);
        $headers[] = 'Content-Type: application/json';
        curl_setopt($handle, CURLOPT_POSTFIELDS, '');
        break;
    case 'no_body': // POST as a custom method sends no body and no length
        $url .= '?' . http_build_query($parameters);
        curl_setopt($handle, CURLOPT_POST, false);
        curl_setopt($handle, CURLOPT_CUSTOMREQUEST, 'POST');
        break;
    case 'array': // an array becomes multipart/form-data
        curl_setopt($handle, CURLOPT_POSTFIELDS, $parameters);
        break;
    case 'expect': // what curl sends before a body that it takes for large
        $headers[] = 'Expect: 100-continue';
        curl_setopt($handle, CURLOPT_POSTFIELDS, $parameters);
        break;
    case 'user_hash': // the token as a parameter
        curl_setopt($handle, CURLOPT_POSTFIELDS, http_build_query([...$parameters, 'user_hash' => $token]));
        break;
    case 'form':
        curl_setopt($handle, CURLOPT_POSTFIELDS, http_build_query($parameters));
        break;
    case 'json':
        $headers[] = 'Content-Type: application/json';
        curl_setopt($handle, CURLOPT_POSTFIELDS, json_encode($parameters));
        break;
    default:
        throw new ValueError("variant $variant");
}
curl_setopt($handle, CURLOPT_URL, $url);
curl_setopt($handle, CURLOPT_HTTPHEADER, $headers);
$body = curl_exec($handle);
if ($body === false) {
    fwrite(STDERR, curl_error($handle));
    exit(1);
}
echo json_encode(['status' => curl_getinfo($handle, CURLINFO_RESPONSE_CODE), 'body' => json_decode($body, true)]);
