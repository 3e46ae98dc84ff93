package webhook_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/webhook"
)

// forbidden are addresses that nobody may be made to connect to.
var forbidden = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
	"127.0.0.1", "127.1.2.3", "127.255.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
	"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
	"192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
	"240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "::127.0.0.1", "::10.0.0.1",
	"::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "64:ff9b::808:808", "100::1",
	"2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1",
	"2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "3fff::1", "3fff:fff::1",
	"fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "4000::1", "1fff::1",
}

// open are addresses of the public internet, at the edges of what is not.
var open = []string{
	"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
	"192.0.3.0", "192.88.98.1", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
	"223.255.255.255", "::ffff:1.1.1.1",
	"2001:200::1", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111", "3ffe::1", "3fff:1000::1", "2000::1",
}

func host(addr string) string {
	if strings.Contains(addr, ":") {
		return "[" + addr + "]"
	}
	return addr
}

func loopback(ports ...int) *webhook.TransportOptions {
	return &webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: ports}
}

// blocked asserts that err says so, and that nothing was sent.
func blocked(t *testing.T, err error, about string) {
	t.Helper()
	require.ErrorIs(t, err, webhook.ErrBlocked, about)
	_, ok := errors.AsType[*webhook.Error](err)
	require.True(t, ok, about)
	require.Equal(t, outcome.NotSent, outcome.Of(err), about)
	transient, said := outcome.Transient(err)
	require.True(t, said && !transient, about)
}

func TestTheCorpus(t *testing.T) {
	require.GreaterOrEqual(t, len(forbidden), 42)
	names := map[string][]string{}
	for i, a := range forbidden {
		names["n"+strconv.Itoa(i)+".example"] = []string{a}
	}
	resolve(t, func(name string) []string { return names[name] })
	transport, client := webhook.NewTransport(nil), webhook.NewClient(nil)
	get := func(rt http.RoundTripper, u string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		require.NoError(t, err)
		resp, err := rt.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	for i, a := range forbidden {
		literal := "https://" + host(a) + "/"
		u, err := url.Parse(literal)
		require.NoError(t, err)
		blocked(t, (*webhook.TransportOptions)(nil).Check(u), "registered "+a)
		blocked(t, get(transport, literal), "dialled "+a)
		blocked(t, get(transport, "http://"+host(a)), "dialled in the clear "+a)
		_, err = client.Get(literal)
		blocked(t, err, "called "+a)
		blocked(t, get(transport, "https://n"+strconv.Itoa(i)+".example/"), "resolved "+a)
		blocked(t, get(transport, "https://n"+strconv.Itoa(i)+".example./"), "resolved with a dot "+a)
	}
	for _, a := range open {
		u, err := url.Parse("https://" + host(a) + "/")
		require.NoError(t, err)
		require.NoError(t, (&webhook.TransportOptions{}).Check(u), a)
	}
}

// Whatever an address of IPv4 is, no form of IPv6 that embeds it is public
// where it is not.
func TestEmbeddedAddresses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused := func(a netip.Addr) bool {
		u, err := url.Parse("https://" + host(a.String()) + "/")
		require.NoError(t, err)
		return (*webhook.TransportOptions)(nil).Check(u) != nil
	}
	embed := func(prefix string, at int, v4 [4]byte) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[at:], v4[:])
		return netip.AddrFrom16(b)
	}
	publics := 0
	for range 5000 {
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], r.Uint32())
		plain := refused(netip.AddrFrom4(v4))
		if !plain {
			publics++
		}
		require.Equal(t, plain, refused(embed("::ffff:0:0", 12, v4)), "%v mapped", v4)
		for _, form := range []netip.Addr{
			embed("::", 12, v4), embed("64:ff9b::", 12, v4), embed("64:ff9b:1::", 12, v4), embed("2002::", 2, v4),
			embed("2001::", 4, v4), embed("2001::", 12, v4), embed("::ffff:0:0:0", 12, v4), embed("fe80::", 12, v4),
		} {
			require.True(t, refused(form), "%v", form)
		}
	}
	require.Greater(t, publics, 4000)
}

// Other ways to write an address of one's own.
func TestOtherFormsOfAnAddress(t *testing.T) {
	// A resolver of the C library would read the numeric ones.
	resolve(t, func(string) []string { return []string{"127.0.0.1"} })
	transport := webhook.NewTransport(nil)
	for _, h := range []string{
		"127.0.0.1.", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.1", "127.0.1",
		"localhost", "LOCALHOST", "localhost.", "metadata.google.internal", "127.0.0.1.example", "①②⑦.⓪.⓪.①", "127。0。0。1",
		"[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::1%25lo]", "[fe80::1%25eth0]", "[::ffff:127.0.0.1%25lo]",
	} {
		t.Run(h, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h+"/", nil)
			if err != nil {
				return // it is no URL at all
			}
			resp, err := transport.RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			if _, ok := errors.AsType[*net.DNSError](err); ok {
				return // it is no host at all
			}
			blocked(t, err, h)
		})
	}
}

func TestWhatIsNoDestination(t *testing.T) {
	client := webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}})
	for name, text := range map[string]string{
		"another port":        "https://1.1.1.1:8443/",
		"ssh":                 "http://1.1.1.1:22/",
		"port 0":              "http://1.1.1.1:0/",
		"port above all":      "http://1.1.1.1:65536/",
		"port that overflows": "http://1.1.1.1:99999999999999999999/",
		"user":                "https://user@example.com/",
		"user and password":   "https://user:hunter2@example.com/?token=canary",
		"file":                "file:///etc/passwd",
		"gopher":              "gopher://1.1.1.1/",
		"no host":             "https:///path",
		"opaque":              "https:example.com",
		"no scheme":           "//example.com/",
		"zone":                "https://[fe80::1%25eth0]/",
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(text)
			require.NoError(t, err)
			err = (*webhook.TransportOptions)(nil).Check(u)
			blocked(t, err, text)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "canary")
			closed := &closing{Reader: strings.NewReader("body")}
			_, err = client.Do((&http.Request{Method: http.MethodPost, URL: u, Body: closed}).WithContext(t.Context()))
			require.Error(t, err)
			require.Equal(t, int32(1), closed.n.Load(), "the body was left open")
		})
	}
}

type closing struct {
	io.Reader
	n atomic.Int32
}

func (c *closing) Close() error {
	c.n.Store(1)
	return nil
}

func TestAllowIsExplicitAndNarrow(t *testing.T) {
	for _, c := range []struct {
		allow, addr string
		ok          bool
	}{
		{"127.0.0.0/8", "127.0.0.1", true},
		{"127.0.0.0/8", "::ffff:127.0.0.1", true},
		{"::ffff:127.0.0.0/104", "127.0.0.1", true},
		{"127.0.0.0/8", "::1", false},
		{"127.0.0.1/32", "127.0.0.2", false},
		{"10.1.0.0/16", "10.2.0.1", false},
		{"::1/128", "::1", true},
		{"fe80::/10", "fe80::1%25eth0", false},
		{"127.0.0.0/8", "::ffff:127.0.0.1%25lo", false},
		{"0.0.0.0/0", "10.0.0.1", true},
		{"0.0.0.0/0", "fd00::1", false},
		{"::/0", "10.0.0.1", false},
	} {
		o := &webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix(c.allow), {}}}
		u, err := url.Parse("https://" + host(c.addr) + "/")
		require.NoError(t, err)
		if c.ok {
			require.NoError(t, o.Check(u), "%v", c)
		} else {
			blocked(t, o.Check(u), c.addr)
		}
	}
}

var silent = log.New(io.Discard, "", 0)

// server counts its requests; its port is free to connect to only if said so.
func server(t *testing.T, h http.Handler) (s *httptest.Server, port int, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if h != nil {
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	ap, err := netip.ParseAddrPort(s.Listener.Addr().String())
	require.NoError(t, err)
	return s, int(ap.Port()), hits
}

func TestAllowedServers(t *testing.T) {
	s, port, hits := server(t, nil)
	for _, c := range []struct {
		name string
		o    *webhook.TransportOptions
		ok   bool
	}{
		{"address and port", loopback(port), true},
		{"address and all ports", loopback(0), true},
		{"address alone", loopback(), false},
		{"another port", loopback(port + 1), false},
		{"port alone", &webhook.TransportOptions{Ports: []int{port}}, false},
		{"nothing", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := hits.Load()
			for _, client := range []*http.Client{webhook.NewClient(c.o), {Transport: webhook.NewTransport(c.o)}} {
				resp, err := client.Post(s.URL, "text/plain", strings.NewReader("x"))
				if !c.ok {
					blocked(t, err, c.name)
					continue
				}
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				client.CloseIdleConnections()
			}
			if c.ok {
				before += 2
			}
			require.Equal(t, before, hits.Load())
		})
	}
}

func TestOptionsAreRead(t *testing.T) {
	s, port, _ := server(t, nil)
	o := loopback(port)
	client := webhook.NewClient(o)
	o.Ports[0], o.Allow[0] = 1, netip.Prefix{} // too late
	resp, err := client.Get(s.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

func TestRebinding(t *testing.T) {
	s, port, hits := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }))
	_ = s
	o := &webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []int{port}}
	var lookups atomic.Int32
	resolve(t, func(string) []string {
		// The A and the AAAA question of a lookup get one answer.
		if (lookups.Add(1)-1)/2%2 == 0 {
			return []string{"127.0.0.1"}
		}
		return []string{"169.254.169.254"}
	})
	client := webhook.NewClient(o)
	target := "http://rebind.example:" + strconv.Itoa(port)
	u, err := url.Parse(target)
	require.NoError(t, err)
	require.NoError(t, o.Check(u), "a name says nothing")
	for i := range 6 {
		resp, err := client.Get(target)
		if i%2 == 1 {
			blocked(t, err, "rebound")
			continue
		}
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	require.EqualValues(t, 3, hits.Load())
}

func TestOfSeveralAddressesTheForbiddenAreNotTried(t *testing.T) {
	_, port, hits := server(t, nil)
	o := &webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []int{port}}
	for _, set := range [][]string{{"10.0.0.1", "127.0.0.1"}, {"127.0.0.1", "10.0.0.1"}, {"fd00::1", "127.0.0.1"}} {
		resolve(t, func(string) []string { return set })
		resp, err := webhook.NewClient(o).Get("http://mixed.example:" + strconv.Itoa(port))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	require.EqualValues(t, 3, hits.Load())
	resolve(t, func(string) []string { return []string{"10.0.0.1", "fd00::1", "127.0.0.2"} })
	_, err := webhook.NewClient(o).Get("http://mixed.example:" + strconv.Itoa(port))
	blocked(t, err, "all of them")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	inner, _, hits := server(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		outer, _, _ := server(t, http.RedirectHandler(inner.URL, code))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, outer.URL, strings.NewReader("body"))
		require.NoError(t, err)
		r.Header.Set("webhook-signature", "v1,secret")
		resp, err := webhook.NewClient(loopback(0)).Do(r)
		require.NoError(t, err)
		require.Equal(t, code, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
	require.Zero(t, hits.Load())
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	_, port, hits := server(t, nil)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:"+strconv.Itoa(port))
	}
	require.Nil(t, webhook.NewTransport(nil).Proxy)
	_, err := webhook.NewClient(loopback(0)).Get("http://10.0.0.1/")
	blocked(t, err, "behind a proxy")
	require.Zero(t, hits.Load())
}

func TestOldTLSIsRefused(t *testing.T) {
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.Config.ErrorLog = silent
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		s.StartTLS()
		transport := webhook.NewTransport(loopback(0))
		transport.TLSClientConfig.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		resp, err := (&http.Client{Transport: transport}).Get(s.URL)
		require.Equal(t, ok, err == nil, "%s: %v", tls.VersionName(version), err)
		if ok {
			require.NoError(t, resp.Body.Close())
		}
		transport.CloseIdleConnections()
		s.Close()
	}
}

func TestTheClientIsBounded(t *testing.T) {
	client := webhook.NewClient(nil)
	require.Equal(t, 30*time.Second, client.Timeout)
	require.Nil(t, client.Jar)
	s, _, _ := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 80<<10))
	}))
	_, err := webhook.NewClient(loopback(0)).Get(s.URL)
	require.ErrorContains(t, err, "header")
}

// resolve answers every question for an address with what answer says.
func resolve(t *testing.T, answer func(name string) []string) {
	t.Helper()
	before := net.DefaultResolver
	var wg sync.WaitGroup
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		us, them := net.Pipe()
		wg.Go(func() { serveDNS(them, answer) })
		return us, nil
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		wg.Wait()
	})
}

// serveDNS answers one question of RFC 1035 on a stream.
func serveDNS(c net.Conn, answer func(string) []string) {
	defer func() { _ = c.Close() }()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	q := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, q); err != nil {
		return
	}
	var labels []string
	end := 12
	for q[end] != 0 {
		n := int(q[end])
		labels = append(labels, string(q[end+1:end+1+n]))
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(q[end+1:])
	end += 5
	var records []byte
	count, addrs := uint16(0), answer(strings.Join(labels, "."))
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		if ip.Is4() != (kind == 1) {
			continue
		}
		count++
		records = append(records, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(ip.BitLen()/8))
		records = append(records, ip.AsSlice()...)
	}
	flags := uint16(0x8180)
	if len(addrs) == 0 {
		flags |= 3 // no such name
	}
	r := append([]byte{}, q[0], q[1])
	for _, v := range []uint16{flags, 1, count, 0, 0} {
		r = binary.BigEndian.AppendUint16(r, v)
	}
	r = append(append(r, q[12:end]...), records...)
	_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
}

// A URL that did not parse is nil where its error was not looked at.
func TestCheckOfNoURL(t *testing.T) {
	var o *webhook.TransportOptions
	require.ErrorIs(t, o.Check(nil), webhook.ErrBlocked)
}
