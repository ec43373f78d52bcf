package dev.countersign.ejbca.ws;

import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;
import jakarta.xml.bind.annotation.XmlType;

@XmlAccessorType(XmlAccessType.FIELD)
@XmlType(name = "certificateResponse", namespace = EjbcaWS.NS, propOrder = {"responseType", "data"})
public class CertificateResponse {
  public String responseType;
  /** Base64 text as bytes. */
  public byte[] data;

  public CertificateResponse() {}

  public CertificateResponse(String responseType, byte[] data) {
    this.responseType = responseType;
    this.data = data;
  }
}
