"""The status page at `/` of the operations port: /healthz, laid out for people.

It is made on the server, has no script, and shows nothing but a report. `page` lays it out, `plot`
draws, `html` makes and escapes every element. Begin with `page`.
"""
