// Calls by Go's net/http: go run client.go URL TOKEN QUERY_OR_BODY CONTENT_TYPE [TIMES]. An empty CONTENT_TYPE sends the
// parameters in the query. Prints each answer's status and body on a line.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	url, token, parameters, contentType := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	times := 1
	if len(os.Args) > 5 {
		times, _ = strconv.Atoi(os.Args[5])
	}
	for range make([]struct{}, times) {
		var body io.Reader
		address := url
		if contentType == "" {
			address += "?" + parameters
		} else {
			body = strings.NewReader(parameters)
		}
		request, err := http.NewRequest(http.MethodPost, address, body)
		if err != nil {
			fail(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Accept", "application/json")
		if contentType != "" {
			request.Header.Set("Content-Type", contentType)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			fail(err)
		}
		content, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			fail(err)
		}
		fmt.Println(answer.StatusCode, string(content))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
