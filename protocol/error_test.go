package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorGivesCodeMeaningAndTheBrokersMessage(t *testing.T) {
	require.EqualError(t, &Error{Code: NotEnoughReplicas},
		"NOT_ENOUGH_REPLICAS (19): fewer replicas are in sync than min.insync.replicas asks for; "+
			"start the missing brokers, or lower min.insync.replicas")
	require.EqualError(t, &Error{Code: InvalidRecord, Message: "the key is missing"},
		"INVALID_RECORD (87): a record did not pass the broker's validation; a compacted topic, for one, takes no record without a key; "+
			"the broker says: the key is missing")
	require.EqualError(t, &Error{Code: 999},
		"UNKNOWN_ERROR_CODE (999): the broker answered with a code that this client does not know")
}

func TestErrorCleansTheBrokersMessage(t *testing.T) {
	say := func(message string) string {
		text := (&Error{Code: InvalidRecord, Message: message}).Error()
		_, after, _ := strings.Cut(text, "the broker says: ")
		return after
	}
	require.Equal(t, "a b c", say("a\nb\x00c"))
	require.Equal(t, "red  [31m text", say("red \x1b[31m text"))
	require.Equal(t, "tail  hidden", say("tail \u202ehidden"), "a bidirectional override")
	require.Equal(t, "broken", say("bro\xffken\xc3"))
	require.Empty(t, say("\n\t \x07"))

	long := say(strings.Repeat("ü", 10000))
	require.True(t, strings.HasSuffix(long, "ü…"), "cut inside a character: %q", long[len(long)-8:])
	require.LessOrEqual(t, len(long), maxMessage+len("…"))
}

func TestErrorIsFoundByItsCode(t *testing.T) {
	err := fmt.Errorf("sending: %w", &Error{Code: TopicAuthorizationFailed, Message: "no"})
	require.ErrorIs(t, err, &Error{Code: TopicAuthorizationFailed})
	require.NotErrorIs(t, err, &Error{Code: None})
	var found *Error
	require.True(t, errors.As(err, &found))
	require.Equal(t, "no", found.Message)
}
