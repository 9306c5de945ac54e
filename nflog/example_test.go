package nflog_test

import (
	"fmt"
	"log"
	"net"

	"moonlatch/nflog"
)

// Log UDP packets to port 9 and print them until the second has come.
func Example() {
	if err := nft(`
		table inet example {
			chain input {
				type filter hook input priority filter
				udp dport 9 log prefix "discard" group 5 drop
			}
		}`); err != nil {
		log.Fatal(err)
	}
	defer nft("delete table inet example")

	r, err := nflog.Open(nflog.Config{Group: 5})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	fmt.Fprint(conn, "again")

	for r.Stats().Events < 2 {
		err := r.Read(func(e *nflog.Event) {
			const headers = 20 + 8 // IPv4 and UDP
			fmt.Printf("%s: packet %d of %d bytes: %s\n", e.Prefix, e.Seq, len(e.Payload), e.Payload[headers:])
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("lost:", r.Stats().Lost)

	// Output:
	// discard: packet 0 of 33 bytes: hello
	// discard: packet 1 of 33 bytes: again
	// lost: 0
}
