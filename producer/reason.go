package producer

import (
	"errors"
	"fmt"
)

// because adds a reason to a text, if there is one.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// noPartition says why no metadata with partition n of a topic has come.
func (p *Producer) noPartition(topic string, n int32) error {
	text := fmt.Sprintf("waiting for partition %d, which the metadata does not have", n)
	if trouble := p.cluster.Trouble(topic); trouble != nil {
		text += ": " + trouble.Error()
	}
	return errors.New(text)
}
