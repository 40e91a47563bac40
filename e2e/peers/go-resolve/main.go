// Looks each name up as a program in Go does, and prints a line for each: the name and its addresses.
// Which of its two resolvers that is, GODEBUG says.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	for _, name := range os.Args[1:] {
		addresses, err := net.LookupHost(name)
		if err != nil {
			fmt.Println(name, "none")
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		fmt.Println(name, strings.Join(addresses, " "))
	}
}
