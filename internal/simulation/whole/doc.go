// Package whole simulates a cluster, its faults and a program around the whole producer in virtual time, and checks the
// program's observations. It has tests only. Package core simulates the delivery core alone.
package whole
