package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// play runs the program and returns its exit code and what it printed.
func play(t *testing.T, h hooks, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, func(string) string { return "" }, &out, &errs, h)
	return code, out.String(), errs.String()
}

// told plays a story that must end well and returns its table.
func told(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := play(t, hooks{}, append([]string{"-once"}, args...)...)
	require.Zero(t, code, stderr)
	return stdout
}

// refused plays a story that must fail, and returns the one line that says why.
func refused(t *testing.T, h hooks, args ...string) string {
	t.Helper()
	code, stdout, stderr := play(t, h, args...)
	require.NotZero(t, code, stdout)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := lines[len(lines)-1]
	require.True(t, strings.HasPrefix(last, "inventory: "), stderr)
	require.NotContains(t, strings.Join(lines[:len(lines)-1], "\n"), "inventory: ", "one line says what went wrong")
	return last
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input.csv")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)"))
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func change(t *testing.T, path, statement string) {
	t.Helper()
	db := openFile(t, path)
	_, err := db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func rowOf(t *testing.T, table, what string) string {
	t.Helper()
	for line := range strings.SplitSeq(table, "\n") {
		if strings.Contains(line, what) {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	t.Fatalf("no row with %q in\n%s", what, table)
	return ""
}

func TestTheStoryEndsWell(t *testing.T) {
	dir := fastDir(t)
	table := told(t, "-dir", dir, "-reservations", "80")
	require.Contains(t, rowOf(t, table, "load products"), "40 = 40 + 0 + 0 + 0 + 0")
	require.Regexp(t, `80 = [1-9]\d* \+ 0 \+ \d+ \+ 0 \+ 0`, rowOf(t, table, "reserve under a key"))
	audits := regexp.MustCompile(`(\d+) = (\d+) \+ 0 \+ 0 \+ 0 \+ 0`).FindStringSubmatch(rowOf(t, table, audit))
	require.Equal(t, audits[1], audits[2])
	require.NotEqual(t, "0", audits[1])

	t.Run("and again: nothing is moved, reserved or told twice", func(t *testing.T) {
		again := told(t, "-dir", dir, "-reservations", "80")
		require.Contains(t, rowOf(t, again, "load products"), "40 = 0 + 40 + 0 + 0 + 0")
		require.Regexp(t, `80 = 0 \+ [1-9]\d* \+ \d+ \+ 0 \+ 0`, rowOf(t, again, "reserve under a key"))
		require.Contains(t, rowOf(t, again, audit), fmt.Sprintf("%s = 0 + %s + 0 + 0 + 0", audits[1], audits[1]))
	})
	t.Run("and with another seed: new orders on the same stock", func(t *testing.T) {
		more := told(t, "-dir", dir, "-reservations", "40", "-seed", "2")
		require.Regexp(t, `40 = [1-9]\d* \+ 0 \+ \d+ \+ 0 \+ 0`, rowOf(t, more, "reserve under a key"))
	})
}

const someLines = linesHeader +
	"1,84997C,BLUE CUTLERY,10,2010-12-01 08:00:00,4.15,17850.0,UK\n" + // line 2
	"2,84997c,BLUE 3 PIECE CUTLERY SET,2,2010-12-03 08:00:00,3.75,17850.0,UK\n" +
	"3,84997c,check,-5,2010-12-09 08:00:00,0,,UK\n" + // newest, but it has no price: it never wins
	"C4,22423,CAKESTAND,-3,2010-12-02 08:00:00,12.75,1.0,UK\n" + // more came back than was sold
	"5,22423,CAKESTAND,1,2010-12-01 08:00:00,12.75,1.0,UK\n" +
	"6,POST,POSTAGE,1,2010-12-01 08:00:00,18.00,1.0,FR\n" +
	"7,71053,OLD NAME,6,2010-12-01 08:00:00,3.39,1.0,UK\n" +
	"8,71053,?,6,2010-12-01 08:00:00,3.49,1.0,UK\n" + // as new as the next: the place in the file decides
	"9,71053,NEW NAME,6,2010-12-01 08:00:00,3.59,1.0,UK\n" +
	"10,71053,BAD DATE,6,01/12/2010 08:00,3.39,1.0,UK\n" +
	"11,71053,SHORT,6\n"

func catalogueOf(t *testing.T, dir string) map[string]product {
	t.Helper()
	all := map[string]product{}
	_, err := queryAll(t.Context(), openFile(t, filepath.Join(dir, "warehouse.db")), func(r *sql.Rows) (p product, err error) {
		err = r.Scan(&p.SKU, &p.Description, &p.UnitPrice, &p.Opening)
		all[p.SKU] = p
		return p, err
	}, `SELECT sku, description, unit_price, opening FROM product`)
	require.NoError(t, err)
	return all
}

func TestTheCatalogueThatInvoiceLinesGive(t *testing.T) {
	file := writeFile(t, someLines)
	dir := fastDir(t)
	table := told(t, "-dir", dir, "-input", file, "-reservations", "5")
	require.Contains(t, rowOf(t, table, "load invoice lines"), "11 = 9 + 0 + 0 + 2 + 0", "every line is accounted for")
	require.Contains(t, rowOf(t, table, "make the catalogue"), "4 = 4 + 0 + 0 + 0 + 0")
	require.Contains(t, table, "9 lines: 6 sales, 1 return; not stock: 1 without a price, 1 of codes that are no product")
	require.Contains(t, table, "clamped at 0 for 1 product: 22423")
	require.Contains(t, table, "codes that differ only in case: 1, two products each")
	require.Equal(t, map[string]product{
		"84997C": {"84997C", "BLUE CUTLERY", 41_500, 40},
		"84997c": {"84997c", "BLUE 3 PIECE CUTLERY SET", 37_500, 8},
		"22423":  {"22423", "CAKESTAND", 127_500, 0},
		"71053":  {"71053", "NEW NAME", 35_900, 24},
	}, catalogueOf(t, dir))
	report, err := os.ReadFile(filepath.Join(dir, "load.txt"))
	require.NoError(t, err)
	require.Regexp(t, `refused: line 11, .*column "InvoiceDate": not a time.*10,71053,BAD DATE`, string(report))
	require.Contains(t, string(report), "refused: line 12: the row has 4 cells and the header 8")
	require.Contains(t, string(report), "no product, POST: 1")
	require.Contains(t, string(report), "22423: 4")

	t.Run("folded", func(t *testing.T) {
		dir := fastDir(t)
		table := told(t, "-dir", dir, "-input", file, "-reservations", "5", "-fold-case")
		require.Contains(t, table, "one product each (-fold-case)")
		require.Equal(t, product{"84997C", "BLUE 3 PIECE CUTLERY SET", 37_500, 24}, catalogueOf(t, dir)["84997C"])
		require.Len(t, catalogueOf(t, dir), 3)
	})
	t.Run("a second run moves only what changed", func(t *testing.T) {
		text := strings.Replace(someLines, "CAKESTAND,1,", "CAKESTAND,9,", 1) + "12,22423,STAND,1,2011-01-01,13.00,1.0,UK\n"
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		table := told(t, "-dir", dir, "-input", file, "-reservations", "5")
		require.Contains(t, rowOf(t, table, "load invoice lines"), "12 = 2 + 8 + 0 + 2 + 0")
		require.Contains(t, rowOf(t, table, "make the catalogue"), "4 = 1 + 3 + 0 + 0 + 0")
		require.Equal(t, product{"22423", "STAND", 130_000, 10}, catalogueOf(t, dir)["22423"])
	})
	t.Run("a catalogue is refused where lines were loaded", func(t *testing.T) {
		line := refused(t, hooks{}, "-once", "-dir", dir)
		require.Contains(t, line, "loaded from a file of invoice lines, and this is a file of products: start anew with -fresh")
	})
	t.Run("and so are other rules for the same lines", func(t *testing.T) {
		line := refused(t, hooks{}, "-once", "-dir", dir, "-input", file, "-fold-case")
		require.Contains(t, line, "and this is a file of invoice lines with -fold-case")
	})
}

func TestABadCatalogueIsReportedAndTheRestIsLoaded(t *testing.T) {
	dir := fastDir(t)
	file := writeFile(t, "\xef\xbb\xbf"+strings.ReplaceAll(catalogueHeader+
		"1,\"TOWEL, \"\"BLUE\"\"\nLARGE\",1.50,10\n"+ // lines 2 and 3
		"2,MUG,1.5x,10\n"+
		"3,MUG,-1,10\n"+
		"4,MUG,1,-1\n"+
		" ,MUG,1,1\n"+
		"1,TOWEL AGAIN,9.99,99\n"+
		"5,MUG,1\n"+
		"6,MUG,1,1,1\n"+
		"7,MUG,2,20\n", "\n", "\r\n"))
	code, table, stderr := play(t, hooks{}, "-once", "-dir", dir, "-input", file, "-reservations", "5")
	require.Zero(t, code, stderr)
	require.Contains(t, rowOf(t, table, "load products"), "9 = 2 + 0 + 0 + 7 + 0")
	require.Equal(t, map[string]product{"1": {"1", `TOWEL, "BLUE" LARGE`, 15_000, 10}, "7": {"7", "MUG", 20_000, 20}}, catalogueOf(t, dir))
	for _, want := range []string{
		`line 4, .*column "unit_price": not a decimal`,
		`line 5, .*column "unit_price": below zero`,
		`line 6, .*column "stock": below zero`,
		`line 7, .*column "sku": blank`,
		`line 8, column "sku": the product stands on line 2 already`,
		`line 9: the row has 3 cells`,
		`line 10: the row has 5 cells`,
	} {
		require.Regexp(t, "refused: "+want, stderr)
	}
	t.Run("stock that is reserved cannot be taken back by the file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(file, []byte(catalogueHeader+"1,TOWEL,1.50,0\n7,MUG,2,0\n"), 0o600))
		code, table, stderr := play(t, hooks{}, "-once", "-dir", dir, "-input", file, "-reservations", "5")
		require.Zero(t, code, stderr)
		require.Regexp(t, `2 = [01] \+ 0 \+ 0 \+ [12] \+ 0`, rowOf(t, table, "load products"))
	})
}

func TestInputThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"empty":          {"", "is empty: it needs a header"},
		"header only":    {catalogueHeader, "nothing to reserve"},
		"unknown header": {"id,name\n1,a\n", "is none of ours"},
		"only bad rows":  {catalogueHeader + "1,MUG,x,1\n", "nothing to reserve"},
		"postage only":   {linesHeader + "1,POST,POSTAGE,1,2010-12-01,18.00,,\n", "nothing to reserve"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, refused(t, hooks{}, "-once", "-dir", fastDir(t), "-input", writeFile(t, c.file)), c.says)
		})
	}
}

func TestPlacesThatCannotBeUsed(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		dir := fastDir(t)
		f, err := openFolder(t.Context(), dir, false)
		require.NoError(t, err)
		defer f.close()
		require.Contains(t, refused(t, hooks{}, "-once", "-dir", dir), dir+" is in use by another process")
	})
	t.Run("damaged", func(t *testing.T) {
		dir := fastDir(t)
		told(t, "-dir", dir, "-reservations", "5")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "warehouse.db"), bytes.Repeat([]byte("no database "), 1000), 0o600))
		require.Contains(t, refused(t, hooks{}, "-once", "-dir", dir), "warehouse.db")
		told(t, "-dir", dir, "-reservations", "5", "-fresh")
	})
	t.Run("newer", func(t *testing.T) {
		dir := fastDir(t)
		told(t, "-dir", dir, "-reservations", "5")
		change(t, filepath.Join(dir, "warehouse.db"), `UPDATE warehouse SET schema = schema + 1`)
		require.Contains(t, refused(t, hooks{}, "-once", "-dir", dir), "newer program")
	})
	t.Run("newer inside", func(t *testing.T) {
		dir := fastDir(t)
		told(t, "-dir", dir, "-reservations", "5")
		change(t, filepath.Join(dir, "receiver.db"), `INSERT INTO crosstie_schema (version, name, oldest, at_us) VALUES (9999, 'later', 9999, 0)`)
		line := refused(t, hooks{}, "-once", "-dir", dir)
		require.Contains(t, line, "receiver.db")
		require.Contains(t, line, "9999")
	})
	t.Run("not writable", func(t *testing.T) {
		require.Contains(t, refused(t, hooks{}, "-once", "-dir", "/proc/inventory"), "cannot make the folder")
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere: run the tests as a user to see a read-only folder refused")
		}
		dir := t.TempDir()
		require.NoError(t, os.Chmod(dir, 0o500))
		require.Contains(t, refused(t, hooks{}, "-once", "-dir", dir), dir)
	})
	t.Run("full", func(t *testing.T) {
		for _, more := range []int{0, 2, 8} { // pages until the disk is full: in the load, while reserving, while delivering
			dir := fastDir(t)
			told(t, "-dir", dir, "-reservations", "5")
			var pages int
			require.NoError(t, openFile(t, filepath.Join(dir, "warehouse.db")).QueryRow(`PRAGMA page_count`).Scan(&pages))
			disk := hooks{pragma: fmt.Sprintf("max_page_count(%d)", pages+more)}
			line := refused(t, disk, "-once", "-dir", dir, "-seed", "7", "-reservations", "100")
			require.Contains(t, line, "the disk is full: make room")
			told(t, "-dir", dir, "-seed", "7", "-reservations", "100") // there is room, and nothing was lost
		}
	})
	t.Run("port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		line := refused(t, hooks{}, "-dir", fastDir(t), "-addr", l.Addr().String())
		require.Contains(t, line, l.Addr().String())
		require.Contains(t, line, "-addr")
	})
	t.Run("a secret that is none", func(t *testing.T) {
		dir := fastDir(t)
		told(t, "-dir", dir, "-reservations", "5")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "webhook.secret"), []byte("hunter2"), 0o600))
		line := refused(t, hooks{}, "-once", "-dir", dir)
		require.Contains(t, line, "webhook.secret holds no secret")
		require.NotContains(t, line, "hunter2")
	})
}

// Each invariant is broken by hand, and the check must name it.
func TestTheCheckNamesWhatIsBroken(t *testing.T) {
	whole := fastDir(t)
	told(t, "-dir", whole, "-reservations", "20")
	for _, c := range []struct{ invariant, file, statement string }{
		{"stock = opening - reserved", "warehouse.db",
			`UPDATE product SET reserved = reserved + 1 WHERE sku = (SELECT sku FROM product WHERE opening > reserved LIMIT 1)`},
		{"each reservation is applied once", "warehouse.db",
			`INSERT INTO reservation (id, sku, quantity, number, at) SELECT id, sku, quantity, number, at FROM reservation WHERE n = 1;
			 UPDATE product SET opening = opening + 9, reserved = reserved + (SELECT quantity FROM reservation WHERE n = 1)
			 WHERE sku = (SELECT sku FROM reservation WHERE n = 1)`},
		{"an order is reserved as it was placed", "warehouse.db",
			`UPDATE product SET opening = opening + 9, reserved = reserved + 1 WHERE sku = (SELECT sku FROM reservation WHERE n = 1);
			 UPDATE reservation SET quantity = quantity + 1 WHERE n = 1`},
		{"no message is lost", "receiver.db", `DELETE FROM effect WHERE n = (SELECT max(n) FROM effect)`},
		{"each message takes effect once", "receiver.db",
			`INSERT INTO effect (message, kind, reservation, sku, number) SELECT message, kind, reservation, sku, number FROM effect WHERE n = 1`},
		{"a message tells of a reservation", "receiver.db",
			`INSERT INTO effect (message, kind, reservation, sku, number) VALUES ('x', 'audit', 'x', 'x', 1)`},
		{"a product's messages arrive in order", "receiver.db",
			`UPDATE effect SET number = number + 1 WHERE n = 1`},
		{"each event takes effect once", "warehouse.db",
			`INSERT INTO seen (subscriber, event, reservation, sku, number) SELECT subscriber, event, reservation, sku, number FROM seen WHERE n = 1`},
		{"a product's events are taken in order", "warehouse.db", `UPDATE seen SET number = number + 1 WHERE n = 1`},
		{"each subscriber hears each event", "warehouse.db", `DELETE FROM seen WHERE n = (SELECT max(n) FROM seen)`},
		{"each reservation is published", "warehouse.db",
			`INSERT INTO reservation (id, sku, quantity, number, at) SELECT 'x', sku, 1, orders + 1, '' FROM product WHERE opening - reserved > 0 LIMIT 1;
			 UPDATE product SET reserved = reserved + 1, orders = orders + 1 WHERE sku = (SELECT sku FROM reservation WHERE id = 'x')`},
		{"the job computes what a direct computation does", "warehouse.db", `UPDATE forecast SET level = level + 1 WHERE n = 1`},
		{"each job takes effect once", "warehouse.db",
			`INSERT INTO forecast (job, sku, level, safety, reorder, quantity) SELECT job, sku, level, safety, reorder, quantity FROM forecast WHERE n = 2`},
	} {
		t.Run(c.invariant, func(t *testing.T) {
			dir := fastDir(t)
			require.NoError(t, os.CopyFS(dir, os.DirFS(whole)))
			change(t, filepath.Join(dir, c.file), c.statement)
			// Not once again: the load would put the opening right, and with it what was broken.
			s, err := openSystem(t.Context(), mustParse(t, "-once", "-dir", dir, "-reservations", "20"), &bytes.Buffer{}, func(err error) { t.Error(err) })
			require.NoError(t, err)
			defer s.close()
			skus, err := s.warehouse.skus(t.Context())
			require.NoError(t, err)
			st := &story{system: s, orders: planOrders(skus, 1, 20)}
			require.NoError(t, s.warehouse.db.QueryRow(`SELECT job FROM forecast_done ORDER BY n DESC LIMIT 1`).Scan(&st.job))
			st.moment, err = s.warehouse.now(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.warehouse.eachDemand(t.Context(), st.moment.Reservations, func(ds []demand) error {
				for _, d := range ds {
					st.plan.Products++
					if f := forecastOf(d); f.Order > 0 {
						st.plan.Orders++
						st.plan.Pieces += f.Order
					}
				}
				return nil
			}))
			err = st.checkFolder(t.Context())
			require.ErrorContains(t, err, "invariant broken: "+c.invariant)
		})
	}
	t.Run("stock is never below zero", func(t *testing.T) {
		_, err := openFile(t, filepath.Join(whole, "warehouse.db")).ExecContext(t.Context(), `UPDATE product SET reserved = opening + 1`)
		require.ErrorContains(t, err, "CHECK constraint", "the database itself refuses it")
	})
}

func mustParse(t *testing.T, args ...string) config {
	t.Helper()
	c, err := parseFlags(args, func(string) string { return "" }, &bytes.Buffer{})
	require.NoError(t, err)
	return c
}

func TestAReceiverThatStaysAwayIsNamed(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"-once", "-dir", fastDir(t), "-reservations", "5", "-wait", "1s", "-receiver", nobody},
		func(string) string { return testSecret }, &out, &errs, hooks{})
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `invariant broken: no message is lost: \d+ webhooks did not land within 1s`, errs.String())
}

func TestAReceiverThatRefusesIsNamed(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer gone.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"-once", "-dir", fastDir(t), "-reservations", "5", "-receiver", gone.URL},
		func(string) string { return testSecret }, &out, &errs, hooks{})
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `invariant broken: no message is lost: \d webhooks are parked`, errs.String())
}

func TestAnInterruptedStorySaysHowToGoOn(t *testing.T) {
	dir := fastDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"-once", "-dir", dir, "-reservations", "20"}, func(string) string { return "" }, &out, &errs, hooks{})
	require.Equal(t, exitFailed, code)
	told(t, "-dir", dir, "-reservations", "20")
}
