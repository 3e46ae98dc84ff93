// Package soap calls services that speak SOAP 1.1, with the care that
// requestreply has for JSON, and serves functions to callers who speak it.
//
// Use it where a WSDL is the contract: an ERP, a bank, a carrier, the SOAP API
// of an org, or a callout that Apex generated. Where both sides are yours, JSON
// is simpler: requestreply.Endpoint and package server. To hand work over that
// nobody waits for, use fireforget.
//
// # The promise
//
// A call goes through a [requestreply.Guard], and its error says what is known
// of the effect. A Fault is an answer, and so decides that by what it says: an
// entry of its detail where the other side is ours, else
//
//	code                                  outcome   repeated under a key
//	Client, MustUnderstand,               Refused   no
//	VersionMismatch
//	Server                                Unknown   yes
//	one of the service's own              Unknown   no
//	any but the first row, status 401,    Refused   as the status says
//	429 or another refusal
//
// unless Endpoint.Judge says otherwise. A crash of the caller leaves what it
// stored: store the key before the first attempt.
//
//	type Login struct {
//		XMLName  xml.Name `xml:"urn:partner.soap.sforce.com login"`
//		Username string   `xml:"username"`
//		Password string   `xml:"password"`
//	}
//	type LoginResponse struct {
//		XMLName   xml.Name `xml:"urn:partner.soap.sforce.com loginResponse"`
//		ServerURL string   `xml:"result>serverUrl"`
//		SessionID string   `xml:"result>sessionId"`
//	}
//	login := soap.Endpoint[Login, LoginResponse]{URL: url, Action: "login", Guard: guard}
//	got, err := login.Call(ctx, Login{Username: name, Password: password})
//
// A [Mux] serves functions. It answers each error as a Fault with status 500, as
// SOAP 1.1 §6.2 asks: one that names the place, where the message is wrong, and
// one that says what is known of the effect, where the function failed. Only
// what is no SOAP message gets a plain 405 or 415.
//
//	mux := soap.NewMux(nil)
//	soap.Handle(mux, "", func(ctx context.Context, o Order) (Receipt, error) {
//		if o.Qty > free {
//			return Receipt{}, &soap.Fault{Code: "Client", Text: "out of stock", Detail: OutOfStock{Left: free}}
//		}
//		return reserve(ctx, o)
//	})
//	http.Handle("/soap/stock", mux)
//
// [Mux.WSDL] describes it to the tools that make clients, such as WSDL2Apex.
//
// A repeated message runs the function again. A caller that can send an
// Idempotency-Key is served once in effect behind server.Idempotent, a caller
// that cannot (most who speak SOAP) by an id in its message and package inbox.
//
// The style is document/literal: one element in the Body, which is what WS-I
// Basic Profile 1.1 asks for and Salesforce generates. RPC/encoded, SOAP 1.2,
// attachments and WS-Security are not spoken.
//
// # Names
//
// Messages are structs for encoding/xml, with less freedom. The XMLName gives
// the element in the Body, and nothing else is taken for it. A field whose tag
// has no namespace is in the namespace of the element around it, or in none,
// never in a third; a Mux refuses what is not known, comes twice or is empty
// where a number is due, and a client passes over it. What says xsi:nil is left out, so that a pointer stays nil.
// A field tagged ",innerxml" can be sent and not read.
//
// # What is bounded
//
//	bounded                        default   at the bound
//	a message, decompressed        1 MiB     requestreply.ErrTooLarge
//	depth of its elements          64        ErrLimit
//	its elements, comments, CDATA  100,000   ErrLimit
//	attributes of one element      64        ErrLimit
//	a text of a Fault              1 KiB     cut
//	time, attempts, load           as the Guard says
//	a request, in a Mux            the same  a Client fault that names the limit
//	time to answer, in a Mux       30 s      the function's context ends; a Server fault
//
// # Errors
//
// Every error of a call is a [*requestreply.Error]. The [*Fault] that answered,
// and what is wrong with an answer ([*MessageError], and in it [ErrLimit],
// [ErrForbidden], [ErrCharset], [ErrVersion], [ErrMustUnderstand], [ErrEmpty])
// are found by errors.AsType and errors.Is. Texts name places and what is
// wanted there, and of what a message held only names, codes and the
// faultstring.
//
// # Concurrency
//
// An [Endpoint] is a value. A [Mux] is safe for concurrent use once it has its
// operations. Neither starts a goroutine.
//
// # Testing
//
// All that depends on time is package time's and requestreply's: a
// testing/synctest bubble replaces it. A Mux in an httptest.Server stands in for
// the service that a program calls.
package soap
