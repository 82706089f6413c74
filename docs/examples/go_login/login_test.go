package login

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// admin asks the sandbox at MCN_MOCK_URL, and reads its JSON answer into found.
func admin(t *testing.T, method, path string, content, found any) {
	t.Helper()
	body, _ := json.Marshal(content)
	request, _ := http.NewRequest(method, os.Getenv("MCN_MOCK_URL")+"/__admin/"+path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 || found != nil && json.NewDecoder(answer.Body).Decode(found) != nil {
		t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

func TestABusyPhone(t *testing.T) {
	var cdr map[string]any // the application's webhook: it keeps the last CDR
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewDecoder(r.Body).Decode(&cdr)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer webhook.Close()

	var account struct {
		ID    json.Number
		Token string
	}
	admin(t, "POST", "accounts", map[string]any{
		"outcomes": []any{map[string]any{"outcome": "busy"}},
		"webhooks": []any{map[string]any{"url": webhook.URL}},
	}, &account)
	id := account.ID.String()
	defer admin(t, "DELETE", "accounts/"+id, nil, nil)

	operator := Operator{os.Getenv("MCN_MOCK_URL") + "/v2/rest", id, account.Token}
	call, err := operator.FlashCall("79157777777", "0042")
	if err != nil {
		t.Fatal(err)
	}

	var delivered, mistakes struct{ Items []map[string]any }
	admin(t, "GET", "deliveries?verification_call_uuid="+call+"&state=delivered&wait=10", nil, &delivered)
	if len(delivered.Items) != 1 || cdr["final_status"] != "NO ANSWER" {
		t.Errorf("the webhook received %v", cdr)
	}
	admin(t, "GET", "accounts/"+id+"/mistakes", nil, &mistakes)
	if len(mistakes.Items) != 0 {
		t.Errorf("a real api.mcn.ru may refuse this: %v", mistakes.Items)
	}
}
