package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sforg builds the program, runs it, and returns where it is by the labels that
// it prints.
func sforg(t *testing.T, id, secret string) map[string]string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sforg")
	build := exec.Command("go", "build", "-C", "../../salesforce", "-o", program, "./cmd/sforg")
	build.Env = append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.Command(program, "-schema", "schema.json", "-control", "127.0.0.1:0")
	cmd.Env = []string{"SFORG_CLIENT_ID=" + id, "SFORG_CLIENT_SECRET=" + secret}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		require.NoError(t, cmd.Wait())
	})
	said := map[string]string{}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		label, value, _ := strings.Cut(lines.Text(), "  ")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if said[label] = value; strings.HasPrefix(lines.Text(), "log in with") {
			return said
		}
	}
	require.Fail(t, "sforg said too little", "%v", said)
	return nil
}

// Jsforce, which integrations in Node are written with, works with the org as it
// is: by its program, and judged by what both sides saw.
func TestJsforce(t *testing.T) {
	const rows = 450
	org := sforg(t, "interop", "a secret of this test")
	type result struct {
		ID      string
		Success bool
		Created bool
		Errors  []struct{ StatusCode string }
	}
	var got struct {
		BadLogin, Organization, Double, WrongQuery, Gone string
		Created, Published, Deleted                      result
		Upserts, Collection                              []result
		Found                                            struct {
			Name  string
			SKU   string  `json:"SKU__c"`
			Stock float64 `json:"Stock__c"`
		}
		Updated struct {
			Stock float64 `json:"Stock__c"`
		}
		Bulk struct {
			Done, Made, Unprocessed int
			Failed                  []struct {
				SKU   string `json:"SKU__c"`
				Error string `json:"sf__Error"`
			}
		}
		Pages, Total, Max int
		SKUs, External    []string
	}
	run(t, "salesforce.js", map[string]any{"url": org["url"], "id": "interop", "secret": "a secret of this test", "rows": rows}, &got)

	require.Equal(t, "invalid_client", got.BadLogin)
	require.Equal(t, org["org"], got.Organization)
	require.True(t, got.Created.Success)
	require.Equal(t, "Lamp & <shade>", got.Found.Name)
	require.Equal(t, "L-1", got.Found.SKU)
	require.Equal(t, 7.0, got.Found.Stock)
	require.Equal(t, "DUPLICATE_VALUE", got.Double)
	require.Equal(t, []bool{true, false}, []bool{got.Upserts[0].Created, got.Upserts[1].Created})
	require.Equal(t, got.Upserts[0].ID, got.Upserts[1].ID)
	require.Equal(t, []bool{true, false}, []bool{got.Collection[0].Success, got.Collection[1].Success})
	require.Equal(t, "REQUIRED_FIELD_MISSING", got.Collection[1].Errors[0].StatusCode)
	require.Equal(t, []string{"SKU__c"}, got.External)
	require.Equal(t, "INVALID_FIELD", got.WrongQuery)
	require.Equal(t, 6.0, got.Updated.Stock)
	require.True(t, got.Deleted.Success)
	require.Equal(t, "ENTITY_IS_DELETED", got.Gone)
	require.Equal(t, 100_000, got.Max)

	require.Equal(t, []int{rows, rows, 0}, []int{got.Bulk.Done, got.Bulk.Made, got.Bulk.Unprocessed})
	require.Len(t, got.Bulk.Failed, 1)
	require.Equal(t, "B-bad", got.Bulk.Failed[0].SKU)
	require.Contains(t, got.Bulk.Failed[0].Error, "INVALID_TYPE_ON_FIELD_IN_RECORD")

	require.Equal(t, 3, got.Pages)
	require.Equal(t, rows, got.Total)
	slices.Sort(got.SKUs)
	require.Len(t, slices.Compact(got.SKUs), rows, "each row once")

	require.True(t, got.Published.Success)
	require.Equal(t, "OPERATION_ENQUEUED", got.Published.Errors[0].StatusCode)
	var events []struct {
		UUID   string
		Fields map[string]any
	}
	look(t, org["control"]+"/events?object=Stock_Changed__e", &events)
	require.Len(t, events, 1)
	require.Equal(t, "L-1", events[0].Fields["SKU__c"])
	require.Equal(t, 6.0, events[0].Fields["Left__c"])
	var kept []map[string]any
	look(t, org["control"]+"/rows?object=Product2", &kept)
	require.Len(t, kept, rows+2, "those of the job, L-2 and C-1")
	for _, row := range kept {
		if sku, ok := strings.CutPrefix(row["SKU__c"].(string), "B-"); ok {
			require.Equal(t, fmt.Sprintf("name %q, in quotes", sku), row["Name"])
		}
	}
}

// look reads from the org's other side.
func look(t *testing.T, url string, v any) {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.NoError(t, json.NewDecoder(resp.Body).Decode(v))
}
