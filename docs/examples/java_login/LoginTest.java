import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.atomic.AtomicReference;

/** A test without a framework: `javac *.java && java -ea LoginTest`, against a sandbox. */
class LoginTest {
  static final String SANDBOX = System.getenv().getOrDefault("MCN_MOCK_URL", "http://127.0.0.1:8643");
  static final String TOKEN = System.getenv("MCN_MOCK_ADMIN_TOKEN");

  static String admin(String method, String path, String content) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(SANDBOX + "/__admin/" + path))
        .method(method, BodyPublishers.ofString(content)).header("Content-Type", "application/json");
    if (TOKEN != null) request.header("Authorization", "Bearer " + TOKEN);
    var answer = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
    assert answer.statusCode() < 300 : answer.body();
    return answer.body();
  }

  public static void main(String[] arguments) throws Exception {
    var cdr = new AtomicReference<String>(); // the application's webhook: it keeps the last CDR
    var webhook = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    webhook.createContext("/", exchange -> {
      cdr.set(new String(exchange.getRequestBody().readAllBytes()));
      exchange.sendResponseHeaders(204, -1);
    });
    webhook.start();
    try {
      var url = "http://127.0.0.1:" + webhook.getAddress().getPort();
      var opened = admin("POST", "accounts", """
          {"outcomes": [{"outcome": "busy"}], "webhooks": [{"url": "%s"}]}""".formatted(url));
      var account = Login.field(opened, "id");
      var login = new Login(SANDBOX + "/v2/rest", account, Login.field(opened, "token"));
      var call = login.flashCall("79157777777", "0042");

      admin("GET", "deliveries?verification_call_uuid=" + call + "&state=delivered&wait=10", "");
      assert "NO ANSWER".equals(Login.field(cdr.get(), "final_status")) : cdr;
      var mistakes = admin("GET", "accounts/" + account + "/mistakes", "");
      assert mistakes.startsWith("{\"items\": []") : "a real api.mcn.ru may refuse this: " + mistakes;
      admin("DELETE", "accounts/" + account, "");
    } finally {
      webhook.stop(0); // its thread would keep the JVM
    }
    System.out.println("1 passed");
  }
}
