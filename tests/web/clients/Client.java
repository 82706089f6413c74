// Calls by the JDK's own client with its default settings, which ask for HTTP/2 first:
// java Client.java URL TOKEN QUERY_OR_BODY CONTENT_TYPE [TIMES]. An empty CONTENT_TYPE sends the parameters in the query.
// Prints each answer's status and body on a line.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

public class Client {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[0], token = arguments[1], parameters = arguments[2], type = arguments[3];
        int times = arguments.length > 4 ? Integer.parseInt(arguments[4]) : 1;
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < times; i++) {
            HttpRequest.Builder request = HttpRequest.newBuilder()
                .header("Authorization", "Bearer " + token)
                .header("Accept", "application/json");
            if (type.isEmpty()) {
                request.uri(URI.create(url + "?" + parameters)).POST(BodyPublishers.noBody());
            } else {
                request.uri(URI.create(url)).header("Content-Type", type).POST(BodyPublishers.ofString(parameters));
            }
            HttpResponse<String> answer = client.send(request.build(), BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
