// Writes the .bin files here with Kafka's own classes:
//   java -cp 'DIRECTORY OF kafka-clients 4.3.1 AND WHAT IT NEEDS/*' Payloads.java .

import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

public class Payloads {
    // One byte in about sixty-four is noise in a text that repeats itself.
    static byte[] text(int n) {
        byte[] b = new byte[n];
        int x = 1;
        for (int i = 0; i < n; i++) {
            x = x * 1103515245 + 12345;
            int r = x >>> 16;
            b[i] = (byte) ((r & 63) == 0 ? 'A' + (r >>> 4) % 26 : "samsa awoke one morning ".charAt(i % 24));
        }
        return b;
    }

    static byte[] random(int n) {
        byte[] b = new byte[n];
        int x = 7;
        for (int i = 0; i < n; i++) {
            x = x * 1103515245 + 12345;
            b[i] = (byte) (x >>> 16);
        }
        return b;
    }

    static void write(Path file, Compression compression, byte[] data) throws Exception {
        ByteBufferOutputStream out = new ByteBufferOutputStream(1 << 18);
        try (OutputStream s = compression.wrapForOutput(out, (byte) 2)) {
            s.write(data);
        }
        ByteBuffer written = out.buffer();
        written.flip();
        byte[] b = new byte[written.remaining()];
        written.get(b);
        Files.write(file, b);
    }

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[0]);
        byte[] text = text(140000), random = random(33000);
        write(out.resolve("gzip-text.bin"), Compression.gzip().build(), text);
        write(out.resolve("snappy-text.bin"), Compression.snappy().build(), text);
        write(out.resolve("snappy-random.bin"), Compression.snappy().build(), random);
        write(out.resolve("lz4-text.bin"), Compression.lz4().build(), text);
        write(out.resolve("lz4-random.bin"), Compression.lz4().build(), random);
        write(out.resolve("zstd-text.bin"), Compression.zstd().build(), text);
    }
}
