//go:build race

package sender

// raceBuild reports whether the race detector is on.
const raceBuild = true
