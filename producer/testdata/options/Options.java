// Prints the Java producer's own options, for config_table_test.go. To make options.tsv again:
//
//   for jar in org.apache.kafka:kafka-clients:4.3.1 org.slf4j:slf4j-api:1.7.36; do
//     mvn -q dependency:copy -Dartifact=$jar -DoutputDirectory=jars
//   done
//   java -cp 'jars/*' Options.java > options.tsv
//
// A line is, with tabs: name, type, default ("?" where there is none), and what values it takes.

import java.util.TreeMap;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.utils.AppInfoParser;

public class Options {
    public static void main(String[] args) {
        System.out.println("# Made by Options.java with kafka-clients " + AppInfoParser.getVersion() + "; do not edit.");
        System.out.println("# name, type, default, values");
        for (ConfigDef.ConfigKey key : new TreeMap<>(ProducerConfig.configDef().configKeys()).values()) {
            Object value = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "?" : key.defaultValue;
            System.out.println(key.name + "\t" + key.type + "\t" + value + "\t" + key.validator);
        }
    }
}
