# Drives the EJBCA backend of serles-acme as it is installed, and canonicalises XML with lxml: a second opinion on the double and on our client.
#   second-opinion.py sign <file of JSON: config, csr, subject, names, email>     prints JSON: chain or error
#   second-opinion.py canonical <file of JSON: list of documents>                 prints JSON: one canonical form of each SOAP body
import json
import re
import sys

from lxml import etree


def sign(given):
    from serles.backends.ejbca import EjbcaBackend

    backend = EjbcaBackend({"ejbca": given["config"]})
    chain, error = backend.sign(given["csr"].encode(), given["subject"], given["names"], given.get("email"))
    return {"chain": chain, "error": error}


def canonical(element):
    """Expanded name, text without layout, attributes and children: nothing that two writers of one document may differ in."""
    text = (element.text or "").strip()
    name = etree.QName(element).localname
    if name == "subjectAltName":
        # EJBCA reads the types of names in any case.
        text = re.sub(r"(^|,)\s*([A-Za-z0-9]+)=", lambda match: f"{match[1]}{match[2].lower()}=", text)
    if name == "arg1":
        text = re.sub(r"\s", "", text)
    return [element.tag, dict(element.attrib), text, [canonical(child) for child in element]]


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        given = json.load(file)
    if sys.argv[1] == "sign":
        result = sign(given)
    else:
        # zeep adds WS-Addressing headers where the WSDL names actions; EJBCA reads none.
        body = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
        result = [canonical(etree.fromstring(document.encode()).find(body)) for document in given]
    print(json.dumps(result))


main()
