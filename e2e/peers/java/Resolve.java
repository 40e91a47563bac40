import java.net.InetAddress;
import java.net.UnknownHostException;

/** Looks each name up as a program in Java does, and prints a line for each: the name and its addresses. */
public class Resolve {
    public static void main(String[] names) {
        for (String name : names) {
            StringBuilder line = new StringBuilder(name);
            try {
                for (InetAddress address : InetAddress.getAllByName(name)) {
                    line.append(' ').append(address.getHostAddress());
                }
            } catch (UnknownHostException error) {
                line.append(" none");
            }
            System.out.println(line);
        }
    }
}
