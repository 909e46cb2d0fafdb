// Writes batch-none.bin and batch-gzip.bin with Kafka's own classes:
//   java -cp 'DIRECTORY OF kafka-clients 4.3.1 AND WHAT IT NEEDS/*' Batches.java .

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

public class Batches {
    static final long BASE = 1700000000000L;

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

    static byte[] batch(Compression compression) {
        MemoryRecordsBuilder m = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), (byte) 2, compression,
                TimestampType.CREATE_TIME, 0L, -1L, 4242L, (short) 7, 99, false, RecordBatch.NO_PARTITION_LEADER_EPOCH);
        byte[] empty = {}, none = null;
        Header[] headers = {};
        m.append(BASE, "key".getBytes(), "value".getBytes(), headers);
        m.append(BASE, none, none, headers);
        m.append(BASE + 1, empty, empty, new Header[] {
                new RecordHeader("", none), new RecordHeader("h", empty), new RecordHeader("h", "v".getBytes())});
        m.append(BASE - 1000, "earlier".getBytes(), text(63), headers);
        m.append(BASE + 100000, text(64), text(1000), headers);
        m.append(BASE + 5, none, text(3000), new Header[] {new RecordHeader("gr\u00fc\u00df", text(300))});
        for (int i = 0; i < 64; i++) m.append(BASE + 6 + i, none, ("record " + i).getBytes(), headers);
        ByteBuffer written = m.build().buffer();
        byte[] b = new byte[written.remaining()];
        written.get(b);
        return b;
    }

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[0]);
        Files.write(out.resolve("batch-none.bin"), batch(Compression.NONE));
        Files.write(out.resolve("batch-gzip.bin"), batch(Compression.gzip().build()));
    }
}
