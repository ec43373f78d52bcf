package dev.countersign.ejbca.ws;

import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;
import jakarta.xml.bind.annotation.XmlType;
import java.math.BigInteger;
import java.util.List;

@XmlAccessorType(XmlAccessType.FIELD)
@XmlType(name = "userDataVOWS", namespace = EjbcaWS.NS, propOrder = {
  "username", "password", "clearPwd", "subjectDN", "caName", "subjectAltName", "email", "status", "tokenType",
  "sendNotification", "keyRecoverable", "endEntityProfileName", "certificateProfileName", "hardTokenIssuerName",
  "startTime", "endTime", "certificateSerialNumber", "extendedInformation", "cardNumber"
})
public class UserDataVOWS {
  public String username;
  public String password;
  public boolean clearPwd;
  public String subjectDN;
  public String caName;
  public String subjectAltName;
  public String email;
  public int status;
  public String tokenType;
  public boolean sendNotification;
  public boolean keyRecoverable;
  public String endEntityProfileName;
  public String certificateProfileName;
  public String hardTokenIssuerName;
  public String startTime;
  public String endTime;
  public BigInteger certificateSerialNumber;
  public List<ExtendedInformation> extendedInformation;
  public String cardNumber;

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "extendedInformationWS", namespace = EjbcaWS.NS, propOrder = {"name", "value"})
  public static class ExtendedInformation {
    public String name;
    public String value;
  }
}
