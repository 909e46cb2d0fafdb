import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints every record of some partitions as Kafka's own consumer sees it: the reader of the tests that is not ours.
 *
 * <p>Usage: {@code java -cp 'LIBS/*' Reader.java BOOTSTRAP}, with one line {@code topic TAB partition TAB endOffset} a partition on stdin. It reads
 * each partition from its beginning up to the end offset, prints one line a record, and the line {@code end} at last. Columns, split by
 * tabs: topic, partition, offset, timestamp, timestamp type, key, value, headers. Bytes are hex; null is {@code -}, so that it differs from
 * empty. Headers are {@code key:value}, split by commas. Fails when nothing comes for 30 s.
 */
public class Reader {
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws IOException {
        if (args.length != 1) {
            System.err.println("usage: Reader BOOTSTRAP, with lines topic TAB partition TAB endOffset on stdin");
            System.exit(2);
        }
        Map<TopicPartition, Long> ends = readEnds();
        try (Writer out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.US_ASCII), 1 << 20)) {
            if (!ends.isEmpty()) {
                copy(args[0], ends, out);
            }
            out.write("end\n");
        }
    }

    private static Map<TopicPartition, Long> readEnds() throws IOException {
        Map<TopicPartition, Long> ends = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] columns = line.split("\t");
            long end = Long.parseLong(columns[2]);
            if (end > 0) {
                ends.put(new TopicPartition(columns[0], Integer.parseInt(columns[1])), end);
            }
        }
        return ends;
    }

    private static void copy(String bootstrap, Map<TopicPartition, Long> ends, Writer out) throws IOException {
        Properties config = new Properties();
        config.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        config.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none");
        config.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        config.put("allow.auto.create.topics", "false"); // older consumers than 2.3 do not know it
        config.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "10000");
        config.put(ConsumerConfig.CHECK_CRCS_CONFIG, "true");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(ends.keySet());
            consumer.seekToBeginning(ends.keySet());
            Map<TopicPartition, Long> left = new HashMap<>(ends);
            long lastProgress = System.nanoTime();
            Poll poll = Poll.of(consumer);
            while (!left.isEmpty()) {
                var records = poll.next();
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    if (record.offset() < ends.get(new TopicPartition(record.topic(), record.partition()))) {
                        print(record, out);
                    }
                }
                boolean progress = !records.isEmpty();
                // The position counts, not the last record: the end may lie behind offsets that hold no record.
                for (TopicPartition partition : List.copyOf(left.keySet())) {
                    if (consumer.position(partition) >= left.get(partition)) {
                        left.remove(partition);
                        consumer.pause(List.of(partition));
                        progress = true;
                    }
                }
                if (progress) {
                    lastProgress = System.nanoTime();
                } else if (System.nanoTime() - lastProgress > PATIENCE.toNanos()) {
                    throw new IOException("nothing came for " + PATIENCE + "; still to read: " + left);
                }
            }
        }
    }

    /** Polls a consumer of any version: poll(Duration) came with 2.0, and poll(long) was removed in 4.0. */
    private interface Poll {
        ConsumerRecords<byte[], byte[]> next() throws IOException;

        @SuppressWarnings("unchecked")
        static Poll of(KafkaConsumer<byte[], byte[]> consumer) {
            Object wait;
            Method method;
            try {
                wait = Duration.ofMillis(200);
                method = KafkaConsumer.class.getMethod("poll", Duration.class);
            } catch (NoSuchMethodException olderThan2) {
                try {
                    wait = 200L;
                    method = KafkaConsumer.class.getMethod("poll", long.class);
                } catch (NoSuchMethodException e) {
                    throw new IllegalStateException(e);
                }
            }
            Object argument = wait;
            Method poll = method;
            return () -> {
                try {
                    return (ConsumerRecords<byte[], byte[]>) poll.invoke(consumer, argument);
                } catch (ReflectiveOperationException e) {
                    throw new IOException(e);
                }
            };
        }
    }

    private static void print(ConsumerRecord<byte[], byte[]> record, Writer out) throws IOException {
        out.write(record.topic() + "\t" + record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t"
                + record.timestampType() + "\t" + hex(record.key()) + "\t" + hex(record.value()) + "\t");
        String separator = "";
        for (Header header : record.headers()) {
            out.write(separator + hex(header.key().getBytes(StandardCharsets.UTF_8)) + ":" + hex(header.value()));
            separator = ",";
        }
        out.write("\n");
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HEX.formatHex(bytes);
    }
}
