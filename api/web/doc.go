// Package web is the page of a gateway: what the API's services answer, as HTML for people.
// Templates, a stylesheet and a script of ours are all there is; nothing comes from
// elsewhere, and without the script everything is there as well, but for the moment.
//
// It changes nothing, and knows HTTP, HTML and the messages of the API. Who may ask is not
// its business: a request that comes here was let in, and the calls that it makes are
// allowed or refused by the role that its context has.
package web
