import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.regex.Pattern;

/** A login by flash call: the number that rings ends in the code. */
record Login(String baseUrl, String account, String token) {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  /** Ring the phone from a number that ends in the code; the call's uuid. */
  String flashCall(String phone, String code) throws IOException, InterruptedException {
    var url = "%s/account/%s/flash_call?login_did=%s&code=%s".formatted(baseUrl, account, phone, code);
    var order = HttpRequest.newBuilder(URI.create(url)).POST(BodyPublishers.noBody()).timeout(Duration.ofSeconds(10))
        .header("Authorization", "Bearer " + token)
        .header("Content-Type", "application/json").header("Accept", "application/json").build();
    var answer = CLIENT.send(order, BodyHandlers.ofString());
    if (answer.statusCode() != 200) throw new IOException("the operator answered " + answer.statusCode() + ": " + answer.body());
    return field(answer.body(), "verification_call_uuid");
  }

  /** A text or a number of a JSON object. Use your JSON library here: the JDK has none. */
  static String field(String json, String name) {
    var found = Pattern.compile('"' + name + "\": *\"?([^\",}]*)").matcher(json);
    return found.find() ? found.group(1) : null;
  }
}
