package producer

import (
	"errors"
	"fmt"
)

// because adds a reason to a text, unless the reason is empty.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// noPartition returns the error of a wait that ended before the metadata had partition n of a topic.
func (p *Producer) noPartition(topic string, n int32) error {
	text := fmt.Sprintf("waiting for partition %d, which the metadata does not have", n)
	if trouble := p.cluster.Trouble(topic); trouble != nil {
		text += ": " + trouble.Error()
	}
	return errors.New(text)
}
