package outbound

import (
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/crosstie/crosstie/requestreply"
)

// A Sender is the org whose messages are taken, and how it is known. At least one
// of Certificate, Prefixes and Secret is needed; all that are given must hold.
type Sender struct {
	// OrganizationID is the id of the org, of 15 or 18 characters: Setup,
	// Company Information. A sandbox has another than its production org.
	OrganizationID string
	// Certificate judges the client certificate of a connection, which the
	// server has verified; an error refuses it. It must look at the name in it:
	// who can buy a certificate of the same authority is verified too. Who did
	// not send one, or whose chain was not verified, is refused before. The
	// server's tls.Config needs ClientAuth tls.VerifyClientCertIfGiven, or
	// stronger, and the ClientCAs.
	Certificate func(tls.ConnectionState) error
	// Prefixes are the networks that messages come from, such as those that
	// Salesforce publishes for the org's instance.
	Prefixes []netip.Prefix
	// Source says where a request comes from, for Prefixes. Nil takes the
	// address of the connection, and no header: behind a proxy that is the
	// proxy's. Give one only where the proxy overwrites what it reads.
	Source func(*http.Request) (netip.Addr, error)
	// Secret is the last segment of the path that the org is told to send to:
	// at least 20 letters, digits, "-" or "_" that nobody can guess, such as
	// crypto/rand.Text makes. Logs of proxies may hold paths: keep them as you
	// would keep it.
	Secret string
}

func (s Sender) check() error {
	switch {
	case !isID(s.OrganizationID) || !strings.HasPrefix(s.OrganizationID, "00D"):
		return errors.New("Sender.OrganizationID is no id of an organisation: give the 15 or 18 characters of Setup, Company Information; they begin with 00D")
	case s.Certificate == nil && len(s.Prefixes) == 0 && s.Secret == "":
		return errors.New("the Sender cannot be told from anybody else: give a Certificate, Prefixes or a Secret")
	case s.Secret != "" && (len(s.Secret) < 20 || strings.Trim(s.Secret, alphabet+"-_") != ""):
		return errors.New("Sender.Secret can be guessed or is no segment of a path: give at least 20 letters, digits, - or _, such as crypto/rand.Text makes")
	case s.Source != nil && len(s.Prefixes) == 0:
		return errors.New("Sender.Source is asked for Prefixes alone: give some")
	}
	for i, p := range s.Prefixes {
		if !p.IsValid() || p.Bits() == 0 {
			return fmt.Errorf("Sender.Prefixes[%d] is not valid, or is everybody: give the networks the org sends from", i)
		}
	}
	return nil
}

// Options configure [New]. Nil, and the zero value of each field, mean the
// default.
type Options struct {
	// Park takes a notification that cannot take effect: its fields do not fit
	// the Go type, or the function failed for good (retry.Permanent, or not
	// transient by its own word). It writes through the transaction, which also
	// records the id, so that the message can be acknowledged: what is parked is
	// handed over, and the org does not send it again. An error of its own
	// leaves the notification to be repeated. Nil parks nothing: the org repeats
	// for 24 hours and drops the notification then.
	Park func(ctx context.Context, tx *sql.Tx, p Parked) error
	// MaxBytes is how long a message may be. Defaults to 16 MiB, as a hundred
	// records with long texts fit into; a negative value means no limit.
	MaxBytes int64
	// Timeout limits how long a message is read, and then how long its
	// notifications may take: what is not done is left to the next attempt.
	// Defaults to 30 s: the org waits about 60. A negative value means no limit.
	Timeout time.Duration
	// URL is where the org sends to, for the WSDL that GET ?wsdl answers with.
	// Defaults to the URL of that request, as the server sees it.
	URL string
	// Logger is told what was refused, failed or parked, and why. Nil is silent.
	Logger *slog.Logger
	// Observer watches the requests ("requestreply/soap.request"). Nil watches
	// nothing.
	Observer requestreply.Observer
}

// Parked is a notification that could not take effect.
type Parked struct {
	// ID, OrganizationID and ActionID are those of the [Notification].
	ID, OrganizationID, ActionID string
	// Object is the API name of the sObject that was sent, which may be another
	// than the listener's.
	Object string
	// Fields is the sObject as a JSON object: each field by its API name, a text
	// as it was sent, or null. Fields that T lacks are in it too.
	Fields json.RawMessage
	// Err says why.
	Err error
}

func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	if v.MaxBytes == 0 {
		v.MaxBytes = 16 << 20
	}
	if v.Timeout == 0 {
		v.Timeout = 30 * time.Second
	}
	if v.URL != "" {
		if u, err := url.Parse(v.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return v, errors.New("Options.URL is no absolute URL: give the one that the org is told to send to")
		}
	}
	return v, nil
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// isID says whether s is an id of Salesforce: 15 characters, or 18 with what
// makes up for case that is lost.
func isID(s string) bool {
	return (len(s) == 15 || len(s) == 18) && strings.Trim(s, alphabet) == ""
}

// identity is what identifies of an id; the rest of 18 characters follows from it.
func identity(id string) string { return id[:15] }
