package realkafka

import "strconv"

// Controllers returns host:port of every node's controller listener, node 1 first. Producers cannot use it.
func (c *Cluster) Controllers() []string {
	addresses := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		addresses = append(addresses, "127.0.0.1:"+strconv.Itoa(n.controllerPort))
	}
	return addresses
}
