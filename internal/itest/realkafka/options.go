package realkafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultVersion is the version of Kafka if Options name none.
const DefaultVersion = "4.3.1"

// Options describe the cluster to start. The zero value is one node of [DefaultVersion].
type Options struct {
	// Version is Kafka's, 0.11 or newer. Versions before 3.9 run with a ZooKeeper of their own. Default
	// [DefaultVersion].
	Version string
	// Nodes is the number of nodes, each broker and controller. Default 1. Topics get min(3, Nodes) replicas.
	Nodes int
	// MinInSync is min.insync.replicas of the whole cluster. Default 1, from three nodes on 2.
	MinInSync int
	// Config is added to every node's server.properties and wins over this package's settings.
	Config map[string]string
	// JVM are the Java options of each node. The default makes it small and quick to start: -Xmx512m, the serial
	// collector, and the first of the two compilers only. If a broker's speed matters, give at least the heap.
	JVM []string
	// Dir is the parent of the cluster's folder. Default: the system's temporary folder.
	Dir string
	// StartTimeout bounds the start and each restart. Default two minutes.
	StartTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.MinInSync == 0 {
		o.MinInSync = 1
		if o.Nodes >= 3 {
			o.MinInSync = 2
		}
	}
	if o.JVM == nil {
		o.JVM = []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 2 * time.Minute
	}
	return o
}

// kraftProperties returns the server.properties of a node as broker and controller.
func (o Options) kraftProperties(n *node, controllers []string) string {
	p := map[string]string{
		"process.roles": "broker,controller",
		"node.id":       strconv.Itoa(int(n.id)),
		"listeners": fmt.Sprintf("CLIENT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port,
			n.controllerPort),
		"advertised.listeners": fmt.Sprintf("CLIENT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port,
			n.controllerPort),
		"listener.security.protocol.map":      "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":          "CLIENT",
		"controller.listener.names":           "CONTROLLER",
		"controller.quorum.bootstrap.servers": strings.Join(controllers, ","),
	}
	if o.Nodes > 1 {
		// A dead or hanging broker is noticed after 3 s instead of 9 s. A single node has no other one to hand over to:
		// there this would only make it stumble when the machine stalls.
		p["broker.session.timeout.ms"], p["broker.heartbeat.interval.ms"] = "3000", "500"
	} else {
		p["broker.session.timeout.ms"] = "60000"
		// Before 4.4, a killed node cannot register again before its session has ended.
		p["initial.broker.registration.timeout.ms"] = "180000"
	}
	return o.properties(n, p)
}

// zookeeperProperties returns the server.properties of a broker with ZooKeeper.
func (o Options) zookeeperProperties(n *node, z *zookeeper) string {
	return o.properties(n, map[string]string{
		"broker.id":         strconv.Itoa(int(n.id)),
		"listeners":         fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", n.port),
		"zookeeper.connect": z.address(),
		// A killed broker cannot start again before its session has ended. A shorter one would end when the machine
		// stalls.
		"zookeeper.session.timeout.ms":    "4000",
		"zookeeper.connection.timeout.ms": "60000",
		"delete.topic.enable":             "true", // false by default before 1.0
	})
}

// properties completes a server.properties. Config overrides all other values.
func (o Options) properties(n *node, p map[string]string) string {
	replicas := strconv.Itoa(min(3, o.Nodes))
	maps.Copy(p, map[string]string{
		"log.dirs": n.dataPath(),

		"default.replication.factor":               replicas,
		"min.insync.replicas":                      strconv.Itoa(o.MinInSync),
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "1",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            strconv.Itoa(min(o.MinInSync, 2)),
		"transaction.state.log.num.partitions":     "1",
		"auto.create.topics.enable":                "false",
		"group.initial.rebalance.delay.ms":         "0",

		// The cleaner takes 128 MB otherwise, a quarter of the heap.
		"log.cleaner.dedupe.buffer.size": "4194304",
		"log.cleaner.threads":            "1",
	})
	maps.Copy(p, o.Config)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", key, strings.ReplaceAll(p[key], `\`, `\\`))
	}
	return b.String()
}

// freePorts returns ports given by the kernel. It holds all until the last is known, to make them differ.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// newUUID returns a random id as Kafka writes it. Kafka avoids a leading dash, because its tools take it for an option.
func newUUID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:])
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		if s := base64.RawURLEncoding.EncodeToString(b[:]); s[0] != '-' {
			return s
		}
	}
}
