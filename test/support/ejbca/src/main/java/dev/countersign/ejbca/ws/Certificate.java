package dev.countersign.ejbca.ws;

import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;
import jakarta.xml.bind.annotation.XmlType;

/** tokenCertificateResponseWS and what extends it, as one type. */
@XmlAccessorType(XmlAccessType.FIELD)
@XmlType(name = "certificate", namespace = EjbcaWS.NS, propOrder = {"type", "certificateData"})
public class Certificate {
  public int type;
  /** Base64 text as bytes. */
  public byte[] certificateData;

  public Certificate() {}

  public Certificate(byte[] certificateData) {
    this.certificateData = certificateData;
  }
}
