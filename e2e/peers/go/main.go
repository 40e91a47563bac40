// Asks for each URL with net/http, and prints what came, a line of JSON each; then it keeps that until its
// standard input ends, so that its memory can be looked at.
package main

import (
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
	for _, url := range os.Args[1:] {
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
	fmt.Println("done")
	io.Copy(io.Discard, os.Stdin)
	fmt.Println(len(kept))
}
