// Asks for each URL with net/http, and prints what came, a line of JSON each; then for each that its standard input
// names. It keeps all that until that ends, so that its memory can be looked at.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 20 * time.Second}
	var kept []string
	ask := func(url string) {
		line := map[string]any{"url": url}
		if reply, err := client.Get(url); err != nil {
			line["error"] = err.Error()
		} else {
			body, _ := io.ReadAll(reply.Body)
			reply.Body.Close()
			line["status"] = reply.StatusCode
			line["body"] = string(body)
			kept = append(kept, string(body))
		}
		text, _ := json.Marshal(line)
		fmt.Println(string(text))
	}
	for _, url := range os.Args[1:] {
		ask(url)
	}
	fmt.Println("done")
	for more := bufio.NewScanner(os.Stdin); more.Scan(); {
		ask(more.Text())
	}
	fmt.Println(len(kept))
}
