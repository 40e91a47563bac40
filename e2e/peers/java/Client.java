import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;

/**
 * Asks for each URL with HttpClient, and prints what came, a line of JSON each; then for each that its standard
 * input names. It keeps all that until that ends, so that its memory can be looked at.
 */
public class Client {
    private final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20)).build();
    private final ArrayList<String> kept = new ArrayList<>();

    public static void main(String[] urls) throws Exception {
        var asking = new Client();
        for (var url : urls) {
            asking.ask(url);
        }
        System.out.println("done");
        System.out.flush();
        var more = new BufferedReader(new InputStreamReader(System.in));
        for (var url = more.readLine(); url != null; url = more.readLine()) {
            asking.ask(url);
        }
        System.out.println(asking.kept.size());
    }

    private void ask(String url) throws InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
        try {
            var reply = client.send(request, HttpResponse.BodyHandlers.ofString());
            kept.add(reply.body());
            System.out.printf("{\"url\": %s, \"status\": %d, \"body\": %s}%n",
                    quoted(url), reply.statusCode(), quoted(reply.body()));
        } catch (IOException error) {
            System.out.printf("{\"url\": %s, \"error\": %s}%n", quoted(url), quoted(error.toString()));
        }
        System.out.flush();
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
