// Prints the options of Kafka's other clients, for config_others_test.go. To make others.tsv again:
//
//   mvn -q dependency:copy -Dartifact=org.apache.kafka:kafka-streams:4.3.1 -DoutputDirectory=jars
//   mvn -q dependency:copy -Dartifact=org.apache.kafka:connect-runtime:4.3.1 -DoutputDirectory=jars
//   (and connect-runtime's dependencies, among them kafka-clients)
//   java -cp 'jars/*' Others.java > others.tsv
//
// A line is, with a tab: client, name.

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.connect.runtime.distributed.Crypto;
import org.apache.kafka.connect.runtime.distributed.DistributedConfig;
import org.apache.kafka.connect.runtime.standalone.StandaloneConfig;
import org.apache.kafka.streams.StreamsConfig;

public class Others {
    public static void main(String[] args) throws Exception {
        System.out.println("# Made by Others.java with kafka-clients " + AppInfoParser.getVersion() + "; do not edit.");
        System.out.println("# client, name");
        print("consumer", ConsumerConfig.configDef());
        print("admin", AdminClientConfig.configDef());
        print("streams", StreamsConfig.configDef());
        Method distributed = DistributedConfig.class.getDeclaredMethod("config", Crypto.class);
        distributed.setAccessible(true);
        print("connect", (ConfigDef) distributed.invoke(null, Crypto.SYSTEM));
        Field standalone = StandaloneConfig.class.getDeclaredField("CONFIG");
        standalone.setAccessible(true);
        print("connect", (ConfigDef) standalone.get(null));
    }

    static void print(String client, ConfigDef def) {
        for (String name : new TreeSet<>(def.names())) {
            System.out.println(client + "\t" + name);
        }
    }
}
