package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// nobody listens there. A port that was free a moment ago may be another test's
// by now; this one is given to none.
const nobody = "http://127.0.0.1:1"

// atOrg plays a story whose org is elsewhere.
func atOrg(t *testing.T, url, id, secret string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{orgIDEnv: id, orgSecretEnv: secret}
	code = run(t.Context(), append([]string{"-once", "-org", url, "-reservations", "10"}, args...), func(name string) string { return env[name] }, &out, &errs, hooks{})
	return code, out.String(), errs.String()
}

func TestWhatIsWrongWithTheOrgIsSaidInWords(t *testing.T) {
	const secret = "s3cr3t-that-nobody-may-read"
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<html>Log in</html>"))
	}))
	defer page.Close()
	bare := sftest.NewOrg(t, nil)
	for name, c := range map[string]struct {
		url, id, secret string
		says            []string
	}{
		"unreachable":       {nobody, "id", secret, []string{"-org", "cannot be reached"}},
		"HTML":              {page.URL, "id", secret, []string{"-org", "is not the Salesforce API"}},
		"wrong credentials": {newTestOrg(t).URL(), "id", secret, []string{orgIDEnv, orgSecretEnv, "does not accept the credentials"}},
		"no fields":         {bare.URL(), bare.ClientID(), bare.ClientSecret(), []string{"SKU__c"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := atOrg(t, c.url, c.id, c.secret, "-dir", fastDir(t))
			require.Equal(t, exitFailed, code)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			for _, says := range c.says {
				require.Contains(t, lines[len(lines)-1], says)
			}
			require.NotContains(t, stderr, c.secret)
		})
	}
	t.Run("a limit that is exhausted in the middle", func(t *testing.T) {
		org := newTestOrg(t)
		require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultLimit, On: sftest.OpUpsert, Times: -1}))
		code, _, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", fastDir(t), "-wait", "2s")
		require.Equal(t, exitFailed, code)
		require.Regexp(t, `were not heard within 2s\. The org: Its API calls of the last 24 hours are used up\. .* goes on`, stderr)
	})
	t.Run("exhausted limit", func(t *testing.T) {
		org := newTestOrg(t)
		require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultLimit, Skip: 5, Times: -1}))
		dir := fastDir(t)
		code, _, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", dir, "-wait", "2s")
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "calls of the last 24 hours are used up")
		org.ClearFaults() // a new day
		code, table, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", dir)
		require.Zero(t, code, stderr)
		require.Contains(t, rowOf(t, table, "move the catalogue"), "40 = ")
	})
}

func TestTheOrgGetsEachProductOnce(t *testing.T) {
	org := newTestOrg(t)
	dir := fastDir(t)
	code, table, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", dir)
	require.Zero(t, code, stderr)
	require.Contains(t, rowOf(t, table, "move the catalogue"), "40 = 40 + 0 + 0 + 0 + 0")
	require.Regexp(t, `40 = [1-9]\d* \+ [1-9]\d* \+ 0 \+ 0 \+ 0`, rowOf(t, table, "move what changed"), "and then only what changed")
	require.Len(t, org.Rows("Product2"), 40)

	t.Run("what somebody changes there is put right", func(t *testing.T) {
		products := org.Changes("Product2")
		code, table, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", dir)
		require.Zero(t, code, stderr)
		require.Contains(t, rowOf(t, table, "move the catalogue"), "40 = 0 + 40 + 0 + 0 + 0")
		require.Contains(t, rowOf(t, table, "move what changed"), "40 = 0 + 40 + 0 + 0 + 0")
		require.Len(t, org.Changes("Product2"), len(products), "nothing was sent")
	})
	t.Run("the check names what is not there", func(t *testing.T) {
		env := map[string]string{orgIDEnv: org.ClientID(), orgSecretEnv: org.ClientSecret()}
		c, err := parseFlags([]string{"-once", "-dir", dir, "-org", org.URL()}, func(name string) string { return env[name] }, &bytes.Buffer{})
		require.NoError(t, err)
		s, err := openSystem(t.Context(), c, &bytes.Buffer{}, func(err error) { t.Error(err) })
		require.NoError(t, err)
		defer s.close()
		st := &story{system: s}
		require.NoError(t, st.checkOrg(t.Context()))
		_, err = s.org.UpsertBy(t.Context(), "Product2", "SKU__c", "10101", map[string]any{"Stock__c": 1_000_000})
		require.NoError(t, err)
		require.ErrorContains(t, st.checkOrg(t.Context()), "invariant broken: the org has the warehouse's products: of 10101 it has")
		_, err = s.warehouse.db.Exec(`INSERT INTO product (sku, description, unit_price, opening) VALUES ('NEW', 'NEW', 1, 1)`)
		require.NoError(t, err)
	})
}

func TestProductsThatMeetInOneRecordAreSaidAndNotSent(t *testing.T) {
	org := newTestOrg(t)
	file := writeFile(t, catalogueHeader+"85123A,WHITE HEART,2.55,10\n85123a,RED HEART,2.65,20\n71053,LANTERN,3.39,30\n")
	dir := fastDir(t)
	code, table, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", dir, "-input", file)
	require.Zero(t, code, stderr)
	require.Contains(t, rowOf(t, table, "move the catalogue"), "3 = 1 + 0 + 0 + 2 + 0")
	require.Regexp(t, `not sent, since they are one record in the org: 85123A, 85123a`, stderr)
	require.Len(t, org.Rows("Product2"), 1)
	text, err := os.ReadFile(filepath.Join(dir, "org.txt"))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "takes these external ids for one"))

	t.Run("folded they are one", func(t *testing.T) {
		code, table, stderr := atOrg(t, org.URL(), org.ClientID(), org.ClientSecret(), "-dir", fastDir(t), "-input",
			writeFile(t, catalogueHeader+"85123A,WHITE HEART,2.55,10\n71053,LANTERN,3.39,30\n"), "-fold-case")
		require.Zero(t, code, stderr)
		require.Regexp(t, `2 = \d \+ \d \+ 0 \+ 0 \+ 0`, rowOf(t, table, "move the catalogue"))
		require.Len(t, org.Rows("Product2"), 2)
	})
}

func TestNumbersOfTheOrgAreReadExactly(t *testing.T) {
	for text, want := range map[string]Money{"2.55": 25_500, "2.5": 25_000, "3": 30_000, "3.0": 30_000, "1E+3": 10_000_000, "0.001": 10, "null": 0} {
		var p orgPrice
		require.NoError(t, json.Unmarshal([]byte(text), &p), text)
		require.Equal(t, want, p.Money, text)
		b, err := json.Marshal(p)
		require.NoError(t, err)
		var again orgPrice
		require.NoError(t, json.Unmarshal(b, &again))
		require.Equal(t, p, again)
	}
	for _, text := range []string{`"2.55"`, "0.00001", "1e99", "true"} {
		require.Error(t, json.Unmarshal([]byte(text), new(orgPrice)), text)
		require.Error(t, json.Unmarshal([]byte(text), new(orgCount)), text)
	}
	var n orgCount
	require.NoError(t, json.Unmarshal([]byte("12.0"), &n))
	require.Equal(t, orgCount(12), n)
	require.Error(t, json.Unmarshal([]byte("12.5"), &n))
}
