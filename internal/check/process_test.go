package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

// helperEnv makes the test binary play a command: "parent" starts a "child", and neither listens to interrupts.
const helperEnv = "SAMSA_CHECK_HELPER"

func helper() {
	signal.Ignore(os.Interrupt)
	if os.Getenv(helperEnv) == "parent" {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), helperEnv+"=child")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
	} else {
		fmt.Println("ready")
	}
	<-time.After(time.Hour)
}
