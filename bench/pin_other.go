//go:build !linux

package main

import "errors"

func pin() error { return errors.New("-pinned works on Linux only") }
