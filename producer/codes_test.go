package producer

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryErrorCodeOfKafkaIsAConstant(t *testing.T) {
	theirs, err := os.ReadFile("../protocol/codes.go")
	require.NoError(t, err)
	ours, err := os.ReadFile("codes.go")
	require.NoError(t, err)
	codes := regexp.MustCompile(`(?m)^\t(\w+) +ErrorCode = `).FindAllSubmatch(theirs, -1)
	require.Greater(t, len(codes), 100)
	for _, code := range codes {
		require.Regexp(t, `Code`+string(code[1])+` += protocol\.`+string(code[1])+`\n`, string(ours))
	}
	err = &Error{Err: &BrokerError{Code: CodeNotEnoughReplicas}}
	var broker *BrokerError
	require.ErrorAs(t, err, &broker)
	require.Equal(t, CodeNotEnoughReplicas, broker.Code)
	require.Equal(t, "NOT_ENOUGH_REPLICAS", Reason(err))
}
