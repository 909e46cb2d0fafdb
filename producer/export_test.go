package producer

import "github.com/gosamsa/samsa/internal/cluster"

// ClusterOf returns the metadata client of a producer.
func ClusterOf(p *Producer) *cluster.Client { return p.cluster }

// UseAgain makes the producer forget a topic without undelivered records, and adds the topic again as its next Send
// does. It reports whether both steps succeeded.
func UseAgain(p *Producer, name string) bool { return p.letGo(name) && p.addTopic(name) != nil }
