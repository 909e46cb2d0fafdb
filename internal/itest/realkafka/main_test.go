package realkafka

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crashHelper()
	}
	goleak.VerifyTestMain(m)
}

// crashEnv makes the test binary start a cluster, print its address, and crash on the next line of its stdin.
const crashEnv = "SAMSA_REALKAFKA_CRASH"

func crashHelper() {
	c, err := Launch(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Dir(), c.Bootstrap()[0])
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	panic("as a test may")
}
