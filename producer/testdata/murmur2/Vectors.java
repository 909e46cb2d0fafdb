// Prints the Java client's own murmur2 of many keys, for murmur2_test.go. To make vectors.txt again:
//
//   for jar in org.apache.kafka:kafka-clients:4.3.1 org.slf4j:slf4j-api:1.7.36; do
//     mvn -q dependency:copy -Dartifact=$jar -DoutputDirectory=jars
//   done
//   java -cp 'jars/*' Vectors.java > vectors.txt
//
// A line is: key in hex ("-" for the empty key), murmur2 as a signed decimal, and the partition among 1, 3, 12 and 1000.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Utils;

public class Vectors {
    private static final int[] PARTITIONS = {1, 3, 12, 1000};

    public static void main(String[] args) {
        System.out.println("# Made by Vectors.java with kafka-clients " + AppInfoParser.getVersion() + "; do not edit.");
        System.out.println("# key (hex), murmur2, partition among 1, 3, 12, 1000");
        for (byte[] key : keys()) {
            StringBuilder line = new StringBuilder();
            line.append(key.length == 0 ? "-" : HexFormat.of().formatHex(key));
            int hash = Utils.murmur2(key);
            line.append(' ').append(hash);
            for (int n : PARTITIONS) {
                line.append(' ').append(Utils.toPositive(hash) % n);
            }
            System.out.println(line);
        }
    }

    private static List<byte[]> keys() {
        List<byte[]> keys = new ArrayList<>();
        Random random = new Random(20); // fixed: the file comes out the same every time
        for (int length = 0; length <= 40; length++) {
            for (int i = 0; i < 6; i++) {
                byte[] key = new byte[length];
                random.nextBytes(key);
                keys.add(key);
            }
            byte[] ones = new byte[length];
            Arrays.fill(ones, (byte) 0xff);
            keys.add(ones);
            keys.add(new byte[length]);
        }
        String[] words = {"a", "key", "21", "foobar", "user-4711", "a-little-bit-long-string", "Grüße aus Köln", "ключ", "鍵", "🔑🗝",
            "e\u0301", "\u0000", "line\nbreak", "{\"id\":1}", "00000000-0000-0000-0000-000000000000"};
        for (String word : words) {
            keys.add(word.getBytes(StandardCharsets.UTF_8));
        }
        for (int i = 0; i < 40; i++) {
            keys.add(Integer.toString(i * 7919).getBytes(StandardCharsets.UTF_8));
        }
        return keys;
    }
}
