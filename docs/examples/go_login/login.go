// Package login logs people in by a flash call: the number that rings ends in the code.
package login

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Operator says where the API is, and whose account pays.
type Operator struct{ BaseURL, Account, Token string }

// FlashCall rings the phone from a number that ends in the code, and returns the call's uuid.
func (o Operator) FlashCall(phone, code string) (string, error) {
	query := url.Values{"login_did": {phone}, "code": {code}}
	order, err := http.NewRequest("POST", o.BaseURL+"/account/"+o.Account+"/flash_call?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	order.Header = http.Header{
		"Authorization": {"Bearer " + o.Token}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
	}
	answer, err := http.DefaultClient.Do(order)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(answer.Body)
		return "", fmt.Errorf("the operator answered %s: %s", answer.Status, said)
	}
	var placed struct {
		Object struct {
			UUID string `json:"verification_call_uuid"`
		}
	}
	err = json.NewDecoder(answer.Body).Decode(&placed)
	return placed.Object.UUID, err
}
