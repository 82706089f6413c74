package login

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// sandbox is where it listens: MCN_MOCK_URL, or the default address.
func sandbox() string {
	if url := os.Getenv("MCN_MOCK_URL"); url != "" {
		return url
	}
	return "http://127.0.0.1:8643"
}

// admin asks the sandbox, and reads its JSON answer into found.
func admin(t *testing.T, method, path string, content, found any) {
	t.Helper()
	body, _ := json.Marshal(content)
	request, _ := http.NewRequest(method, sandbox()+"/__admin/"+path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("MCN_MOCK_ADMIN_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(answer.Body)
	if answer.StatusCode >= 300 || found != nil && json.Unmarshal(said, found) != nil {
		t.Fatalf("%s %s: %s: %s", method, path, answer.Status, said)
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

	operator := Operator{sandbox() + "/v2/rest", id, account.Token}
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
