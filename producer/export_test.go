package producer

import "github.com/gosamsa/samsa/internal/cluster"

// ClusterOf returns the metadata client of a producer.
func ClusterOf(p *Producer) *cluster.Client { return p.cluster }

// UseAgain forgets a topic without undelivered records, and adds it as its next Send does. It reports whether both
// worked.
func UseAgain(p *Producer, name string) bool { return p.letGo(name) && p.addTopic(name) != nil }
