package dev.countersign.ejbca.ws;

import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;
import jakarta.xml.bind.annotation.XmlType;

@XmlAccessorType(XmlAccessType.FIELD)
@XmlType(name = "nameAndId", namespace = EjbcaWS.NS, propOrder = {"name", "id"})
public class NameAndId {
  public String name;
  public int id;

  public NameAndId() {}

  public NameAndId(String name, int id) {
    this.name = name;
    this.id = id;
  }
}
