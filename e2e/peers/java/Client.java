import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;

/**
 * Asks for each URL with HttpClient, and prints what came, a line of JSON each; then it keeps that until its
 * standard input ends, so that its memory can be looked at.
 */
public class Client {
    public static void main(String[] urls) throws Exception {
        var client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20)).build();
        var kept = new ArrayList<String>();
        for (var url : urls) {
            var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
            try {
                var reply = client.send(request, HttpResponse.BodyHandlers.ofString());
                kept.add(reply.body());
                System.out.printf("{\"url\": %s, \"status\": %d, \"body\": %s}%n",
                        quoted(url), reply.statusCode(), quoted(reply.body()));
            } catch (Exception error) {
                System.out.printf("{\"url\": %s, \"error\": %s}%n", quoted(url), quoted(error.toString()));
            }
        }
        System.out.println("done");
        System.out.flush();
        System.in.readAllBytes();
        System.out.println(kept.size());
    }

    private static String quoted(String text) {
        var quoted = new StringBuilder("\"");
        for (var c : text.toCharArray()) {
            if (c < ' ' || c == '"' || c == '\\') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
