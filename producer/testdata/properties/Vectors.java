// Prints what java.util.Properties reads in many small files, for config_javaprops_test.go. To make vectors.txt again:
//
//   java Vectors.java > vectors.txt
//
// A line is: the file in hex, then what was read of it: "error", or key=value pairs in hex, sorted, each after a space.

import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;

public class Vectors {
    private static final String[] PIECES = {"a", "b", "key", "=", ":", " ", "  ", "\t", "\f", "\n", "\n", "\r", "\r\n", "\\", "\\", "\\\\", "\\\n",
        "\\\r\n", "#", "!", "\\u0041", "\\u00e9", "\\uD83D\\uDD11", "\\u12", "\\n", "\\t", "\\r", "\\f", "\\=", "\\:", "\\ ", "\\#", "é", "鍵", "🔑",
        "\\\n \t", "x=y", "linger.ms=5", "\u00a0", "\u000b", "\u0000"};

    private static final String[] FILES = {"", "a", "a=", "=a", ":", "a b c", "a = b = c", "a\\ b=c", "# only a comment", "! another", "  # c\n a=1",
        "a=1\\", "a=1\\\\", "a=1\\\n\nb=2", "a=1\\\n#not a comment\nb=2", "# comment \\\na=1", "\\\na=1", "\\\n#x=1\ny=2", "a=1\n\\\n\\\nb=2", "a\\\nb=c",
        "a\\\n  =c", "a=b \\\n  c", "a=b\t \n", "k=\\u0041\\u00e9", "k=\\u004", "k=\\uZZZZ", "k=\\U0041", "\\u003d=1", "a=1\na=2\na=3", "a:=b", "a=:b", "a  :  b",
        "a\\:b:c", "a=\\ttab\\nline\\qq", "truststore=C:\\\\dir\\\\file", "a=b\\\r\n  c\r\n", "a=b\rc=d\r\re=f", "é=ü", "a\fb", "\fa=1", "a=1 # 2"};

    public static void main(String[] args) throws IOException {
        System.out.println("# Made by Vectors.java; do not edit.");
        List<String> files = new ArrayList<>(List.of(FILES));
        Random random = new Random(20); // fixed: the file comes out the same every time
        for (int i = 0; i < 800; i++) {
            StringBuilder file = new StringBuilder();
            for (int n = 1 + random.nextInt(14); n > 0; n--) {
                file.append(PIECES[random.nextInt(PIECES.length)]);
            }
            files.add(file.toString());
        }
        for (String file : files) {
            System.out.println(hex(file) + read(file));
        }
    }

    private static String read(String file) throws IOException {
        Properties properties = new Properties();
        try {
            properties.load(new StringReader(file));
        } catch (IllegalArgumentException e) {
            return " error";
        }
        TreeMap<String, String> pairs = new TreeMap<>();
        properties.forEach((key, value) -> pairs.put(hex((String) key), hex((String) value)));
        StringBuilder out = new StringBuilder();
        pairs.forEach((key, value) -> out.append(' ').append(key).append('=').append(value));
        return out.toString();
    }

    private static String hex(String s) {
        // Half a surrogate pair has no UTF-8: it becomes the replacement character.
        int[] points = s.codePoints().map(c -> c >= 0xd800 && c <= 0xdfff ? 0xfffd : c).toArray();
        String whole = new String(points, 0, points.length);
        return s.isEmpty() ? "-" : HexFormat.of().formatHex(whole.getBytes(StandardCharsets.UTF_8));
    }
}
