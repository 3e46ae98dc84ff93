package sftest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A model is what an org should hold: the name and the stock of each product,
// by its SKU in lower case.
type model map[string]product

type product struct{ sku, name, stock string }

// Whatever is done to an org, in whatever way, it holds what a map would.
func TestModel(t *testing.T) {
	rounds := 400
	if os.Getenv("CROSSTIE_SOAK") != "" {
		rounds = 10_000
	}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		org := inProcess(t, &sftest.Options{BulkHold: true, DailyCalls: 1 << 40, Journal: 100})
		m := model{}
		for round := range rounds {
			switch r.IntN(10) {
			case 0, 1, 2:
				m.one(t, org, r)
			case 3:
				m.remove(t, org, r)
			case 4, 5, 6:
				m.collection(t, org, r)
			case 7, 8:
				m.bulk(t, org, r)
			case 9:
				m.query(t, org, r)
			}
			if round%20 == 0 || round == rounds-1 {
				m.same(t, org)
			}
		}
	}
}

// draw makes a product under one of few SKUs, in any case.
func draw(r *rand.Rand) product {
	sku := fmt.Sprintf("%c-%d", 'a'+r.IntN(4), r.IntN(8))
	if r.IntN(3) == 0 {
		sku = strings.ToUpper(sku)
	}
	p := product{sku: sku, name: fmt.Sprintf("n%d", r.IntN(100)), stock: fmt.Sprint(r.IntN(50))}
	if r.IntN(6) == 0 {
		p.name = "" // refused
	}
	return p
}

// put is an upsert in the model: the first spelling of a SKU stays.
func (m model) put(p product) {
	k := strings.ToLower(p.sku)
	if old, ok := m[k]; ok {
		p.sku = old.sku
	}
	m[k] = p
}

func (p product) json(key bool) string {
	sku := ""
	if key {
		sku = fmt.Sprintf(`"SKU__c":%q,`, p.sku)
	}
	return fmt.Sprintf(`{"attributes":{"type":"Product2"},%s"Name":%q,"Stock__c":%s}`, sku, p.name, p.stock)
}

func (m model) one(t *testing.T, org unlistened, r *rand.Rand) {
	p := draw(r)
	status, body := org.do(t, "PATCH", "sobjects/Product2/SKU__c/"+p.sku, p.json(false))
	if p.name == "" {
		require.Equal(t, 400, status, body)
		return
	}
	require.Equal(t, m[strings.ToLower(p.sku)] == product{}, status == 201, body)
	m.put(p)
}

func (m model) remove(t *testing.T, org unlistened, r *rand.Rand) {
	p := draw(r)
	k := strings.ToLower(p.sku)
	status, body := org.do(t, "DELETE", "sobjects/Product2/SKU__c/"+p.sku, "")
	if _, ok := m[k]; !ok {
		require.Equal(t, 404, status, body)
		return
	}
	require.Equal(t, 204, status, body)
	delete(m, k)
}

// doubtful says which of some products share a SKU or are refused.
func doubtful(ps []product) []bool {
	times := map[string]int{}
	for _, p := range ps {
		times[strings.ToLower(p.sku)]++
	}
	out := make([]bool, len(ps))
	for i, p := range ps {
		out[i] = p.name == "" || times[strings.ToLower(p.sku)] > 1
	}
	return out
}

func (m model) collection(t *testing.T, org unlistened, r *rand.Rand) {
	whole := r.IntN(2) == 0
	var ps []product
	var records []string
	for range 1 + r.IntN(5) {
		p := draw(r)
		ps = append(ps, p)
		records = append(records, p.json(true))
	}
	_, body := org.do(t, "PATCH", "composite/sobjects/Product2/SKU__c", fmt.Sprintf(`{"allOrNone":%t,"records":[%s]}`, whole, strings.Join(records, ",")))
	var list []outcome
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	bad := doubtful(ps)
	some := false
	for _, b := range bad {
		some = some || b
	}
	for i, p := range ps {
		ok := !bad[i] && (!whole || !some)
		require.Equal(t, ok, list[i].Success, body)
		if ok {
			m.put(p)
		}
	}
}

func (m model) bulk(t *testing.T, org unlistened, r *rand.Rand) {
	var ps []product
	var data strings.Builder
	data.WriteString("SKU__c,Stock__c,Name\n")
	for range 1 + r.IntN(6) {
		p := draw(r)
		ps = append(ps, p)
		name := p.name
		if name == "" {
			name = "#N/A"
		}
		fmt.Fprintf(&data, "%s,%s,%q\n", p.sku, p.stock, name)
	}
	_, made := org.do(t, "POST", "jobs/ingest", upsertSKU)
	id := made[7:25]
	org.do(t, "PUT", "jobs/ingest/"+id+"/batches", data.String())
	org.do(t, "PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`)
	org.RunBulk()
	failed := 0
	for i, bad := range doubtful(ps) {
		if bad {
			failed++
		} else {
			m.put(ps[i])
		}
	}
	jobs := org.Jobs()
	require.Equal(t, []int{len(ps), failed}, []int{jobs[0].Processed, jobs[0].Failed})
	require.Equal(t, 204, first(org.do(t, "DELETE", "jobs/ingest/"+id, "")))
}

func (m model) query(t *testing.T, org unlistened, r *rand.Rand) {
	least := r.IntN(50)
	want := 0
	for _, p := range m {
		var n int
		_, err := fmt.Sscan(p.stock, &n)
		require.NoError(t, err)
		if n >= least && strings.HasPrefix(strings.ToLower(p.sku), "b") {
			want++
		}
	}
	_, body := org.do(t, "GET", fmt.Sprintf("query?q=SELECT+COUNT()+FROM+Product2+WHERE+SKU__c+LIKE+'b%%25'+AND+Stock__c+>%%3D+%d", least), "")
	require.JSONEq(t, fmt.Sprintf(`{"totalSize":%d,"done":true,"records":[]}`, want), body)
}

func (m model) same(t *testing.T, org unlistened) {
	rows := org.Rows("Product2")
	require.Len(t, rows, len(m))
	for _, row := range rows {
		p := m[strings.ToLower(row["SKU__c"].(string))]
		require.Equal(t, p, product{row["SKU__c"].(string), row["Name"].(string), fmt.Sprint(row["Stock__c"])})
	}
}
