// Package core simulates clusters, networks and users around delivery cores, and checks the core's promises. It has
// tests only. The user's view of the same promises is in package whole.
package core
