// Command mutate shows that the simulations notice the faults of their subject. It breaks the delivery code in one
// place after another, as a slip of the hand would, and runs the simulation responsible for the fault:
//
//	go run ./internal/mutate            # all of them
//	go run ./internal/mutate -only five # those of the test command
//	go run ./internal/mutate -only wrap # those with "wrap" in their name
//
// The sources stay as they are: the compiler is given other text for one file. A mutation without its text in the file,
// or with a compile error, is an error: the table has to follow the code.
package main
