//go:build !race

package delivery

// raceBuild makes every Partition strict.
const raceBuild = false
