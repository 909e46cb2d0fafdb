package realkafka

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crashHelper()
	}
	goleak.VerifyTestMain(m)
}

// crashEnv makes the test binary start a cluster of the version in it, print folder and addresses, and crash on the
// next line of its stdin.
const crashEnv = "SAMSA_REALKAFKA_CRASH"

func crashHelper() {
	c, err := Launch(context.Background(), Options{Version: os.Getenv(crashEnv)})
	if err != nil {
		panic(err)
	}
	addresses := c.Bootstrap()
	if c.zookeeper != nil {
		addresses = append(addresses, c.zookeeper.address())
	}
	fmt.Println(c.Dir(), strings.Join(addresses, " "))
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	panic("as a test may")
}
