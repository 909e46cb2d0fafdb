// Readme is the program that the README begins with, given the address of a broker that creates topics by itself:
//
//	go run ./examples/readme localhost:9092
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	ctx := context.Background()
	p, err := producer.New(producer.DefaultConfig(os.Args[1:]...)) // host:port of one broker or more
	if err != nil {
		log.Fatal(err)
	}
	record := producer.Record{Topic: "greetings", Key: []byte("me"), Value: []byte("hello")}
	place, err := p.Send(ctx, &record, nil).Get(ctx) // Get waits until the broker has it
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("partition %d, offset %d\n", place.Partition, place.Offset)
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}
}
